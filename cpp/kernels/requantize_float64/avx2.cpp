// SPDX-License-Identifier: Apache-2.0
// requantize_float64 with AVX2. Nearest with ties away from zero is: add the greatest double below 0.5 with the sign
// of v, drop the fraction. At and next to a tie that sum rounds to the integer exactly when it should. The conversion
// gives -2^31 beyond int32.
#include <immintrin.h>

#include <cstring>

#include "kernels/requantize_float64/requantize_float64.h"

namespace q8 {
namespace {

__m128i nearest_4(__m128i acc, __m256d scale) {
  const __m256d below_half = _mm256_set1_pd(0x1.fffffffffffffp-2);
  const __m256d v = _mm256_mul_pd(_mm256_cvtepi32_pd(acc), scale);
  const __m256d half = _mm256_or_pd(below_half, _mm256_and_pd(v, _mm256_set1_pd(-0.0)));
  return _mm256_cvttpd_epi32(_mm256_add_pd(v, half));
}

// 4 accumulators to 4 bytes, of which the first `count` are stored
void requantize_4(__m128i acc, __m256d scale, const QuantizedRange& range, int64_t count, uint8_t* y) {
  const __m128i q = _mm_add_epi32(nearest_4(acc, scale), _mm_set1_epi32(range.zero_point));
  const __m128i clamped = _mm_min_epi32(_mm_max_epi32(q, _mm_set1_epi32(range.qmin)), _mm_set1_epi32(range.qmax));
  const int32_t bytes = _mm_cvtsi128_si32(_mm_shuffle_epi8(clamped, _mm_set1_epi32(0x0C080400)));
  std::memcpy(y, &bytes, static_cast<size_t>(count));
}

void requantize_rest(const RequantizeFloat64Args& args, const int32_t* acc, int64_t c, uint8_t* y) {
  int32_t rest[4] = {};
  double scale[4] = {};
  for (int64_t i = 0; c + i < args.channels; ++i) {
    rest[i] = acc[c + i];
    scale[i] = args.scale[(c + i) * args.scale_stride];
  }
  requantize_4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(rest)), _mm256_loadu_pd(scale), args.range,
               args.channels - c, y + c);
}

}  // namespace

void requantize_float64_avx2(const RequantizeFloat64Args& args) {
  __m256d scale = _mm256_set1_pd(args.scale[0]);
  for (int64_t r = 0; r < args.rows; ++r) {
    const int32_t* acc = args.acc + r * args.acc_stride;
    uint8_t* y = static_cast<uint8_t*>(args.y) + r * args.y_stride;
    int64_t c = 0;
    for (; c + 4 <= args.channels; c += 4) {
      if (args.scale_stride != 0) scale = _mm256_loadu_pd(args.scale + c);
      requantize_4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(acc + c)), scale, args.range, 4, y + c);
    }
    if (c < args.channels) requantize_rest(args, acc, c, y);
  }
}

}  // namespace q8
