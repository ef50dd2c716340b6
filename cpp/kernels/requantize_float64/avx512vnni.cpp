// SPDX-License-Identifier: Apache-2.0
// requantize_float64 with AVX-512. Nearest with ties away from zero is: add the greatest double below 0.5 with the sign
// of v, drop the fraction. At and next to a tie that sum rounds to the integer exactly when it should. The conversion
// gives -2^31 beyond int32.
#include "kernels/intrinsics.h"
#include "kernels/requantize_float64/requantize_float64.h"

namespace q8 {
namespace {

__m256i nearest_8(__m256i acc, __m512d scale) {
  const __m512d below_half = _mm512_set1_pd(0x1.fffffffffffffp-2);
  const __m512d v = _mm512_mul_pd(_mm512_cvtepi32_pd(acc), scale);
  const __m512d half = _mm512_or_pd(below_half, _mm512_and_pd(v, _mm512_set1_pd(-0.0)));
  return _mm512_cvttpd_epi32(_mm512_add_pd(v, half));
}

}  // namespace

void requantize_float64_avx512vnni(const RequantizeFloat64Args& args) {
  const __m256i low = _mm256_set1_epi32(args.range.qmin), high = _mm256_set1_epi32(args.range.qmax);
  const __m256i zero_point = _mm256_set1_epi32(args.range.zero_point);
  __m512d scale = _mm512_set1_pd(args.scale[0]);
  for (int64_t r = 0; r < args.rows; ++r) {
    const int32_t* acc = args.acc + r * args.acc_stride;
    uint8_t* y = static_cast<uint8_t*>(args.y) + r * args.y_stride;
    for (int64_t c = 0; c < args.channels; c += 8) {
      const int64_t left = args.channels - c;
      const __mmask8 lanes = static_cast<__mmask8>(left >= 8 ? 0xFF : (1 << left) - 1);
      if (args.scale_stride != 0) scale = _mm512_maskz_loadu_pd(lanes, args.scale + c);
      const __m256i nearest = nearest_8(_mm256_maskz_loadu_epi32(lanes, acc + c), scale);
      const __m256i q = _mm256_min_epi32(_mm256_max_epi32(_mm256_add_epi32(nearest, zero_point), low), high);
      _mm_mask_storeu_epi8(y + c, lanes, _mm256_cvtepi32_epi8(q));  // the low byte: q is within the dtype
    }
  }
}

}  // namespace q8
