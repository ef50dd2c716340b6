// SPDX-License-Identifier: Apache-2.0
// depthwise_conv2d with AVX2: 8 channels at a time.
#include "kernels/depthwise_conv2d/pairs_256.h"

namespace q8 {
namespace {

Vector add_products(Vector sums, Vector x, Vector w) { return _mm256_add_epi32(sums, _mm256_madd_epi16(w, x)); }

}  // namespace
}  // namespace q8

#include "kernels/depthwise_conv2d/pairs.h"

namespace q8 {

size_t depthwise_conv2d_avx2_packed_bytes(const DepthwiseConv2dShape& shape) { return packed_bytes_of(shape); }

void depthwise_conv2d_avx2_pack(const DepthwiseConv2dShape& shape, const void* w, const int32_t* w_zero_point,
                                void* packed) {
  pack_weights(shape, w, w_zero_point, packed);
}

size_t depthwise_conv2d_avx2_scratch_bytes(const DepthwiseConv2dShape& shape) { return scratch_bytes_of(shape); }

void depthwise_conv2d_avx2(const DepthwiseConv2dArgs& args) { run(args); }

}  // namespace q8
