// SPDX-License-Identifier: Apache-2.0
// requantize_converted with AVX2. What is not below 2^31 becomes the lower bound; then to round, add and clamp is to
// clamp to [qmin - zp, qmax - zp] and round: the bounds are integers, and half_even is monotonic.
#include <immintrin.h>

#include <cstring>

#include "kernels/requantize_converted/requantize_converted.h"

namespace q8 {
namespace {

struct Constants {
  __m256 bias_scale, low, high, too_large;
  __m256i zero_point;
};

// The low bytes of 8 values within the range of a byte, in order.
__m128i narrow(__m256i q) {
  const __m256i low_bytes = _mm256_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,  //
                                             0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
  const __m256i halves = _mm256_shuffle_epi8(q, low_bytes);
  return _mm_unpacklo_epi32(_mm256_castsi256_si128(halves), _mm256_extracti128_si256(halves, 1));
}

// 8 accumulators to 8 bytes
void requantize_8(const int32_t* acc, __m256 bias, __m256 scale, const Constants& constants, uint8_t* y) {
  const __m256i loaded = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(acc));
  const __m256 sum = _mm256_fmadd_ps(bias, constants.bias_scale, _mm256_cvtepi32_ps(loaded));
  const __m256 product = _mm256_mul_ps(sum, scale);
  const __m256 fits = _mm256_cmp_ps(product, constants.too_large, _CMP_LT_OQ);
  const __m256 converted = _mm256_blendv_ps(constants.low, product, fits);
  const __m256 v = _mm256_min_ps(_mm256_max_ps(converted, constants.low), constants.high);
  const __m256i q = _mm256_add_epi32(_mm256_cvtps_epi32(v), constants.zero_point);
  _mm_storel_epi64(reinterpret_cast<__m128i*>(y), narrow(q));
}

// Fewer than 8, by way of memory that is long enough.
void requantize_rest(const RequantizeConvertedArgs& args, const int32_t* acc, int64_t c, const Constants& constants,
                     uint8_t* y) {
  int32_t rest[8] = {};
  float biases[8] = {}, scales[8] = {};
  uint8_t bytes[8];
  const int64_t count = args.channels - c;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t p = (c + i) * args.parameter_stride;
    rest[i] = acc[c + i];
    scales[i] = args.scale[p];
    if (args.bias != nullptr) biases[i] = args.bias[p];
  }
  requantize_8(rest, _mm256_loadu_ps(biases), _mm256_loadu_ps(scales), constants, bytes);
  std::memcpy(y + c, bytes, static_cast<size_t>(count));
}

}  // namespace

void requantize_converted_avx2(const RequantizeConvertedArgs& args) {
  const Constants constants{.bias_scale = _mm256_set1_ps(args.bias_scale),
                            .low = _mm256_set1_ps(static_cast<float>(args.range.qmin - args.range.zero_point)),
                            .high = _mm256_set1_ps(static_cast<float>(args.range.qmax - args.range.zero_point)),
                            .too_large = _mm256_set1_ps(2147483648.0f),
                            .zero_point = _mm256_set1_epi32(args.range.zero_point)};
  const bool per_channel = args.parameter_stride != 0;
  __m256 scale = _mm256_set1_ps(args.scale[0]);
  __m256 bias = _mm256_set1_ps(args.bias != nullptr ? args.bias[0] : 0.0f);
  for (int64_t r = 0; r < args.rows; ++r) {
    const int32_t* acc = args.acc + r * args.acc_stride;
    uint8_t* y = static_cast<uint8_t*>(args.y) + r * args.y_stride;
    int64_t c = 0;
    for (; c + 8 <= args.channels; c += 8) {
      if (per_channel) scale = _mm256_loadu_ps(args.scale + c);
      if (per_channel && args.bias != nullptr) bias = _mm256_loadu_ps(args.bias + c);
      requantize_8(acc + c, bias, scale, constants, y + c);
    }
    if (c < args.channels) requantize_rest(args, acc, c, constants, y);
  }
}

}  // namespace q8
