// SPDX-License-Identifier: Apache-2.0
// requantize_float64 with AVX2. Nearest with ties away from zero is: add the greatest double below 0.5 with the sign
// of v, drop the fraction. At and next to a tie that sum rounds to the integer exactly when it should. The conversion
// gives -2^31 beyond int32, and the sum with the zero point wraps.
#include "kernels/requantize/avx2.h"

#include "kernels/requantize_float64/requantize_float64.h"

namespace q8 {
namespace {

struct Parameters {
  __m256d first, last;  // scales of four channels each
};

__m128i nearest_4(__m128i acc, __m256d scale) {
  const __m256d below_half = _mm256_set1_pd(0x1.fffffffffffffp-2);
  const __m256d v = _mm256_mul_pd(_mm256_cvtepi32_pd(acc), scale);
  const __m256d half = _mm256_or_pd(below_half, _mm256_and_pd(v, _mm256_set1_pd(-0.0)));
  return _mm256_cvttpd_epi32(_mm256_add_pd(v, half));
}

}  // namespace

void requantize_float64_avx2(const RequantizeFloat64Args& args) {
  const __m256i zero_point = _mm256_set1_epi32(args.range.zero_point);
  const auto load = [&](int64_t c, __m256i lanes) {
    if (args.scale_stride == 0) return Parameters{_mm256_set1_pd(args.scale[0]), _mm256_set1_pd(args.scale[0])};
    const __m256i first = _mm256_cvtepi32_epi64(_mm256_castsi256_si128(lanes));
    const __m256i last = _mm256_cvtepi32_epi64(_mm256_extracti128_si256(lanes, 1));
    return Parameters{_mm256_maskload_pd(args.scale + c, first), _mm256_maskload_pd(args.scale + c + 4, last)};
  };
  const auto rescale = [zero_point](__m256i acc, const Parameters& by) {
    const __m128i first = nearest_4(_mm256_castsi256_si128(acc), by.first);
    const __m128i last = nearest_4(_mm256_extracti128_si256(acc, 1), by.last);
    return _mm256_add_epi32(_mm256_setr_m128i(first, last), zero_point);
  };
  requantize_blocks(args, args.scale_stride, 0, load, rescale);
}

}  // namespace q8
