// SPDX-License-Identifier: Apache-2.0
// requantize with AVX-512: 16 channels of all rows, then the next. To saturate, then round, then clamp is to clamp to
// [qmin - zp, qmax - zp] and round: the bounds are integers inside the range of the dtype, and half_even is monotonic.
#include "kernels/intrinsics.h"
#include "kernels/requantize/requantize.h"

namespace q8 {

void requantize_avx512vnni(const RequantizeArgs& args) {
  const __m512 low = _mm512_set1_ps(static_cast<float>(args.range.qmin - args.range.zero_point));
  const __m512 high = _mm512_set1_ps(static_cast<float>(args.range.qmax - args.range.zero_point));
  const __m512i zero_point = _mm512_set1_epi32(args.range.zero_point);
  __m512 scale = _mm512_set1_ps(args.scale[0]);
  for (int64_t c = 0; c < args.channels; c += 16) {
    const int64_t left = args.channels - c;
    const __mmask16 lanes = static_cast<__mmask16>(left >= 16 ? 0xFFFF : (1 << left) - 1);
    if (args.scale_stride != 0) scale = _mm512_maskz_loadu_ps(lanes, args.scale + c);
    const int32_t* acc = args.acc + c;
    uint8_t* y = static_cast<uint8_t*>(args.y) + c;
    for (int64_t r = 0; r < args.rows; ++r, acc += args.acc_stride, y += args.y_stride) {
      const __m512 product = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_maskz_loadu_epi32(lanes, acc)), scale);
      const __m512 v = _mm512_min_ps(_mm512_max_ps(product, low), high);
      const __m512i q = _mm512_add_epi32(_mm512_cvtps_epi32(v), zero_point);
      _mm_mask_storeu_epi8(y, lanes, _mm512_cvtepi32_epi8(q));  // the low byte: q is within the dtype
    }
  }
}

}  // namespace q8
