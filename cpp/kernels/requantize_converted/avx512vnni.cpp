// SPDX-License-Identifier: Apache-2.0
// requantize_converted with AVX-512. What is not below 2^31 becomes the lower bound; then to round, add and clamp is to
// clamp to [qmin - zp, qmax - zp] and round: the bounds are integers, and half_even is monotonic.
#include "kernels/intrinsics.h"
#include "kernels/requantize_converted/requantize_converted.h"

namespace q8 {

void requantize_converted_avx512vnni(const RequantizeConvertedArgs& args) {
  const __m512 low = _mm512_set1_ps(static_cast<float>(args.range.qmin - args.range.zero_point));
  const __m512 high = _mm512_set1_ps(static_cast<float>(args.range.qmax - args.range.zero_point));
  const __m512 too_large = _mm512_set1_ps(2147483648.0f);
  const __m512i zero_point = _mm512_set1_epi32(args.range.zero_point);
  const __m512 bias_scale = _mm512_set1_ps(args.bias_scale);
  const bool per_channel = args.parameter_stride != 0;
  __m512 scale = _mm512_set1_ps(args.scale[0]);
  __m512 bias = _mm512_set1_ps(args.bias != nullptr ? args.bias[0] : 0.0f);
  for (int64_t r = 0; r < args.rows; ++r) {
    const int32_t* acc = args.acc + r * args.acc_stride;
    uint8_t* y = static_cast<uint8_t*>(args.y) + r * args.y_stride;
    for (int64_t c = 0; c < args.channels; c += 16) {
      const int64_t left = args.channels - c;
      const __mmask16 lanes = static_cast<__mmask16>(left >= 16 ? 0xFFFF : (1 << left) - 1);
      if (per_channel) scale = _mm512_maskz_loadu_ps(lanes, args.scale + c);
      if (per_channel && args.bias != nullptr) bias = _mm512_maskz_loadu_ps(lanes, args.bias + c);
      const __m512 converted = _mm512_cvtepi32_ps(_mm512_maskz_loadu_epi32(lanes, acc + c));
      const __m512 sum = _mm512_fmadd_ps(bias, bias_scale, converted);
      const __m512 product = _mm512_mul_ps(sum, scale);
      const __mmask16 fits = _mm512_cmp_ps_mask(product, too_large, _CMP_LT_OQ);
      const __m512 v = _mm512_min_ps(_mm512_max_ps(_mm512_mask_blend_ps(fits, low, product), low), high);
      const __m512i q = _mm512_add_epi32(_mm512_cvtps_epi32(v), zero_point);
      _mm_mask_storeu_epi8(y + c, lanes, _mm512_cvtepi32_epi8(q));  // the low byte: q is within the dtype
    }
  }
}

}  // namespace q8
