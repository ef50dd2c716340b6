// SPDX-License-Identifier: Apache-2.0
// depthwise_conv2d with AVX-512 VNNI: 32 channels at a time, two taps at a time.
#include "kernels/depthwise_conv2d/depthwise_conv2d.h"
#include "kernels/depthwise_conv2d/taps.h"
#include "kernels/intrinsics.h"

namespace q8 {
namespace {

constexpr int64_t lanes = 4;
constexpr int64_t block_channels = 8 * lanes;

__m512i load_centred(const uint8_t* x, __mmask32 channels, DType dtype, __m512i zero_point) {
  const __m256i bytes = _mm256_maskz_loadu_epi8(channels, x);
  const __m512i wide = dtype == DType::s8 ? _mm512_cvtepi8_epi16(bytes) : _mm512_cvtepu8_epi16(bytes);
  return _mm512_sub_epi16(wide, zero_point);
}

// The first 16 lanes of a mask, or the last.
__mmask16 half_mask(__mmask32 mask, int half) { return static_cast<__mmask16>(mask >> (16 * half)); }

// One output pixel, the channels [channel, channel + 32) as far as the mask says.
void run_block(const DepthwiseConv2dArgs& args, const Taps& taps, int64_t channel, __mmask32 mask, int32_t* acc) {
  const DepthwiseConv2dShape& shape = *args.shape;
  const int64_t pairs = count_pairs(shape);
  const int16_t* w = static_cast<const int16_t*>(args.packed) + channel / block_channels * pairs * 16 * lanes;
  const __m512i zero_point = _mm512_set1_epi16(static_cast<int16_t>(args.x_zero_point));
  __m512i half_0 = _mm512_setzero_si512(), half_1 = _mm512_setzero_si512();
  for (int64_t p = 0; p < pairs; ++p) {
    const __m512i x_0 = load_centred(taps.pointers[2 * p] + channel, mask, shape.x_dtype, zero_point);
    const __m512i x_1 = load_centred(taps.pointers[2 * p + 1] + channel, mask, shape.x_dtype, zero_point);
    const __m512i w_0 = _mm512_load_si512(w + p * 16 * lanes);
    const __m512i w_1 = _mm512_load_si512(w + p * 16 * lanes + 8 * lanes);
    half_0 = _mm512_dpwssd_epi32(half_0, _mm512_unpacklo_epi16(x_0, x_1), w_0);
    half_1 = _mm512_dpwssd_epi32(half_1, _mm512_unpackhi_epi16(x_0, x_1), w_1);
  }
  // Back to the order of the channels: four of each half in turn; indices from 16 on mean half 1.
  const __m512i first = _mm512_setr_epi32(0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
  const __m512i last = _mm512_setr_epi32(8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
  const __m512i order[2] = {first, last};
  for (int half = 0; half < 2; ++half) {
    const __mmask16 stored = half_mask(mask, half);
    if (stored == 0) break;
    const __m512i bias = _mm512_maskz_loadu_epi32(stored, args.bias + channel + 16 * half);
    const __m512i sums = _mm512_permutex2var_epi32(half_0, order[half], half_1);
    _mm512_mask_storeu_epi32(acc + 16 * half, stored, _mm512_add_epi32(sums, bias));
  }
}

}  // namespace

size_t depthwise_conv2d_avx512vnni_packed_bytes(const DepthwiseConv2dShape& shape) {
  return static_cast<size_t>(packed_elements(shape, lanes)) * sizeof(int16_t);
}

void depthwise_conv2d_avx512vnni_pack(const DepthwiseConv2dShape& shape, const void* w, const int32_t* w_zero_point,
                                      void* packed) {
  pack_weights(shape, w, w_zero_point, lanes, static_cast<int16_t*>(packed));
}

size_t depthwise_conv2d_avx512vnni_scratch_bytes(const DepthwiseConv2dShape& shape) { return taps_bytes(shape); }

void depthwise_conv2d_avx512vnni(const DepthwiseConv2dArgs& args) {
  const Taps taps = prepare_taps(args);
  for (int64_t p = 0; p < args.pixel_count; ++p) {
    find_taps(args, window_at(args.shape->window, args.pixel_begin + p), taps);
    for (int64_t c = 0; c < args.channel_count; c += block_channels) {
      const int64_t left = args.channel_count - c;
      const __mmask32 mask = left >= 32 ? 0xFFFFFFFFu : (__mmask32{1} << left) - 1;
      run_block(args, taps, args.channel_begin + c, mask, args.acc + p * args.acc_stride + c);
    }
  }
}

}  // namespace q8
