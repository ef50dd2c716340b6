// SPDX-License-Identifier: Apache-2.0
// depthwise_conv2d with AVX-512 VNNI: 16 channels at a time.
#include <cstdint>

#include "kernels/intrinsics.h"

namespace q8 {
namespace {

using Vector = __m512i;
using Mask = __mmask16;
constexpr int64_t block_channels = 16;

Vector load_pairs(const int16_t* from) { return _mm512_loadu_si512(from); }
void store_sums(int32_t* to, Vector sums) { _mm512_storeu_si512(to, sums); }
Mask first_lanes(int64_t count) { return static_cast<Mask>(count >= 16 ? 0xFFFF : (1 << count) - 1); }
Vector load_lanes(const int32_t* from, Mask lanes) { return _mm512_maskz_loadu_epi32(lanes, from); }
void store_lanes(int32_t* to, Mask lanes, Vector sums) { _mm512_mask_storeu_epi32(to, lanes, sums); }
Vector add_products(Vector sums, Vector x, Vector w) { return _mm512_dpwssd_epi32(sums, x, w); }

}  // namespace
}  // namespace q8

#include "kernels/depthwise_conv2d/pairs.h"

namespace q8 {

size_t depthwise_conv2d_avx512vnni_packed_bytes(const DepthwiseConv2dShape& shape) { return packed_bytes_of(shape); }

void depthwise_conv2d_avx512vnni_pack(const DepthwiseConv2dShape& shape, const void* w, const int32_t* w_zero_point,
                                      void* packed) {
  pack_weights(shape, w, w_zero_point, packed);
}

size_t depthwise_conv2d_avx512vnni_scratch_bytes(const DepthwiseConv2dShape& shape) { return scratch_bytes_of(shape); }

void depthwise_conv2d_avx512vnni(const DepthwiseConv2dArgs& args) { run(args); }

}  // namespace q8
