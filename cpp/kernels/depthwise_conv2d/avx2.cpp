// SPDX-License-Identifier: Apache-2.0
// depthwise_conv2d with AVX2: 16 channels at a time, two taps at a time.
#include <immintrin.h>

#include "kernels/depthwise_conv2d/depthwise_conv2d.h"
#include "kernels/depthwise_conv2d/taps.h"

namespace q8 {
namespace {

constexpr int64_t lanes = 2;
constexpr int64_t block_channels = 8 * lanes;

// 16 channels, or those that are left by way of memory that is long enough, minus the zero point.
__m256i load_centred(const uint8_t* x, int64_t channels, DType dtype, __m256i zero_point) {
  __m128i bytes;
  if (channels >= block_channels) {
    bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(x));
  } else {
    alignas(16) uint8_t rest[block_channels] = {};
    std::memcpy(rest, x, static_cast<size_t>(channels));
    bytes = _mm_load_si128(reinterpret_cast<const __m128i*>(rest));
  }
  return _mm256_sub_epi16(dtype == DType::s8 ? _mm256_cvtepi8_epi16(bytes) : _mm256_cvtepu8_epi16(bytes), zero_point);
}

// Adds the bias to 8 channels and stores them, as far as `channels` says.
void finish_sums(const int32_t* bias, int64_t channels, __m256i sums, int32_t* acc) {
  const __m256i numbers = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  const int32_t count = channels > 8 ? 8 : static_cast<int32_t>(channels);
  const __m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(count), numbers);
  _mm256_maskstore_epi32(acc, mask, _mm256_add_epi32(sums, _mm256_maskload_epi32(bias, mask)));
}

// One output pixel, the channels [channel, channel + 16) of which `channels` exist.
void run_block(const DepthwiseConv2dArgs& args, const Taps& taps, int64_t channel, int64_t channels, int32_t* acc) {
  const DepthwiseConv2dShape& shape = *args.shape;
  const int64_t pairs = count_pairs(shape);
  const int16_t* w = static_cast<const int16_t*>(args.packed) + channel / block_channels * pairs * 16 * lanes;
  const __m256i zero_point = _mm256_set1_epi16(static_cast<int16_t>(args.x_zero_point));
  __m256i half_0 = _mm256_setzero_si256(), half_1 = _mm256_setzero_si256();
  for (int64_t p = 0; p < pairs; ++p) {
    const __m256i x_0 = load_centred(taps.pointers[2 * p] + channel, channels, shape.x_dtype, zero_point);
    const __m256i x_1 = load_centred(taps.pointers[2 * p + 1] + channel, channels, shape.x_dtype, zero_point);
    const __m256i* pair = reinterpret_cast<const __m256i*>(w + p * 16 * lanes);
    const __m256i w_0 = _mm256_load_si256(pair), w_1 = _mm256_load_si256(pair + 1);
    half_0 = _mm256_add_epi32(half_0, _mm256_madd_epi16(_mm256_unpacklo_epi16(x_0, x_1), w_0));
    half_1 = _mm256_add_epi32(half_1, _mm256_madd_epi16(_mm256_unpackhi_epi16(x_0, x_1), w_1));
  }
  // Back to the order of the channels: the low lanes of both halves, then the high lanes.
  const __m256i first = _mm256_permute2x128_si256(half_0, half_1, 0x20);
  const __m256i last = _mm256_permute2x128_si256(half_0, half_1, 0x31);
  finish_sums(args.bias + channel, channels, first, acc);
  if (channels > 8) finish_sums(args.bias + channel + 8, channels - 8, last, acc + 8);
}

}  // namespace

size_t depthwise_conv2d_avx2_packed_bytes(const DepthwiseConv2dShape& shape) {
  return static_cast<size_t>(packed_elements(shape, lanes)) * sizeof(int16_t);
}

void depthwise_conv2d_avx2_pack(const DepthwiseConv2dShape& shape, const void* w, const int32_t* w_zero_point,
                                void* packed) {
  pack_weights(shape, w, w_zero_point, lanes, static_cast<int16_t*>(packed));
}

size_t depthwise_conv2d_avx2_scratch_bytes(const DepthwiseConv2dShape& shape) { return taps_bytes(shape); }

void depthwise_conv2d_avx2(const DepthwiseConv2dArgs& args) {
  const Taps taps = prepare_taps(args);
  for (int64_t p = 0; p < args.pixel_count; ++p) {
    find_taps(args, window_at(args.shape->window, args.pixel_begin + p), taps);
    for (int64_t c = 0; c < args.channel_count; c += block_channels) {
      run_block(args, taps, args.channel_begin + c, args.channel_count - c, args.acc + p * args.acc_stride + c);
    }
  }
}

}  // namespace q8
