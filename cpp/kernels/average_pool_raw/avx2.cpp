// SPDX-License-Identifier: Apache-2.0
// average_pool_raw with AVX2. Quotients are binary64: of two integers below 2^53 the quotient is rounded to an integer
// only where it is one.
#include "kernels/pool/avx2.h"

#include "kernels/average_pool_raw/average_pool_raw.h"

namespace q8 {
namespace {

// 4 sums over `count`, without their fraction.
__m128i quotient(__m128i sum, __m256d count) {
  return _mm256_cvttpd_epi32(_mm256_div_pd(_mm256_cvtepi32_pd(sum), count));
}

int64_t taps_inside(const Pixel& pixel) {
  int64_t count = 0;
  for (int64_t kh = 0; kh < pixel.window->kh; ++kh) {
    for (int64_t kw = 0; kw < pixel.window->kw; ++kw) count += tap_at(pixel, kh, kw) != nullptr;
  }
  return count;
}

void run_pixel(const AveragePoolRawArgs& args, int64_t number) {
  const Pixel pixel = pixel_of(args, number);
  const int32_t taps = static_cast<int32_t>(taps_inside(pixel));
  const __m256d count = _mm256_set1_pd(taps);
  const __m256i half = _mm256_set1_epi32(args.division == Division::half_away ? taps / 2 : 0);
  const __m256i zero_point = _mm256_set1_epi32(args.range.zero_point);
  const __m256i low = _mm256_set1_epi32(args.range.qmin), high = _mm256_set1_epi32(args.range.qmax);
  for_each_8_channels(args, number, args.range.zero_point, [&](const Channels& channels) {
    const __m256i sum = sum_of(pixel, channels);
    const __m256i away = _mm256_add_epi32(sum, _mm256_sign_epi32(half, sum));
    const __m256i q = _mm256_setr_m128i(quotient(_mm256_castsi256_si128(away), count),
                                        quotient(_mm256_extracti128_si256(away, 1), count));
    return _mm256_min_epi32(_mm256_max_epi32(_mm256_add_epi32(q, zero_point), low), high);
  });
}

}  // namespace

void average_pool_raw_avx2(const AveragePoolRawArgs& args) {
  if (!sums_fit(*args.window)) return average_pool_raw_reference(args);
  for (int64_t i = 0; i < args.pixel_count; ++i) run_pixel(args, args.pixel_begin + i);
}

}  // namespace q8
