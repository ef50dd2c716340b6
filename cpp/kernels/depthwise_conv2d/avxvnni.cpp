// SPDX-License-Identifier: Apache-2.0
// depthwise_conv2d with AVX-VNNI: 8 channels at a time.
#include "kernels/depthwise_conv2d/pairs_256.h"
#include "kernels/intrinsics.h"

namespace q8 {
namespace {

Vector add_products(Vector sums, Vector x, Vector w) { return _mm256_dpwssd_avx_epi32(sums, x, w); }

}  // namespace
}  // namespace q8

#include "kernels/depthwise_conv2d/pairs.h"

namespace q8 {

size_t depthwise_conv2d_avxvnni_packed_bytes(const DepthwiseConv2dShape& shape) { return packed_bytes_of(shape); }

void depthwise_conv2d_avxvnni_pack(const DepthwiseConv2dShape& shape, const void* w, const int32_t* w_zero_point,
                                   void* packed) {
  pack_weights(shape, w, w_zero_point, packed);
}

size_t depthwise_conv2d_avxvnni_scratch_bytes(const DepthwiseConv2dShape& shape) { return scratch_bytes_of(shape); }

void depthwise_conv2d_avxvnni(const DepthwiseConv2dArgs& args) { run(args); }

}  // namespace q8
