// SPDX-License-Identifier: Apache-2.0
// add with AVX-512. To saturate, then round, then clamp is to clamp to [qmin, qmax] and round: the bounds are integers
// inside the range of the dtype, and half_even is monotonic.
#include "kernels/add/add.h"
#include "kernels/intrinsics.h"

namespace q8 {
namespace {

// 16 elements, or one of them 16 times, as floats
__m512 load(const void* values, int64_t at, int64_t step, __mmask16 lanes, DType dtype) {
  const uint8_t* from = static_cast<const uint8_t*>(values);
  const __m128i bytes = step == 0 ? _mm_set1_epi8(static_cast<char>(from[0])) : _mm_maskz_loadu_epi8(lanes, from + at);
  return _mm512_cvtepi32_ps(dtype == DType::s8 ? _mm512_cvtepi8_epi32(bytes) : _mm512_cvtepu8_epi32(bytes));
}

}  // namespace

void add_avx512vnni(const AddArgs& args) {
  const __m512 a_ratio = _mm512_set1_ps(args.a_ratio);
  const __m512 b_ratio = _mm512_set1_ps(args.b_ratio);
  const __m512 fixed = _mm512_set1_ps(args.fixed);
  const __m512 low = _mm512_set1_ps(static_cast<float>(args.range.qmin));
  const __m512 high = _mm512_set1_ps(static_cast<float>(args.range.qmax));
  const DType dtype = args.range.dtype;
  uint8_t* y = static_cast<uint8_t*>(args.y);
  for (int64_t i = 0; i < args.count; i += 16) {
    const int64_t left = args.count - i;
    const __mmask16 lanes = static_cast<__mmask16>(left >= 16 ? 0xFFFF : (1 << left) - 1);
    const __m512 inner = _mm512_fmadd_ps(load(args.b, i, args.b_step, lanes, dtype), b_ratio, fixed);
    const __m512 sum = _mm512_fmadd_ps(load(args.a, i, args.a_step, lanes, dtype), a_ratio, inner);
    const __mmask16 beyond = _mm512_cmp_ps_mask(sum, _mm512_set1_ps(2147483648.0f), _CMP_NLT_UQ);
    const __m512 v = _mm512_mask_mov_ps(sum, beyond, low);
    const __m512i q = _mm512_cvtps_epi32(_mm512_min_ps(_mm512_max_ps(v, low), high));
    _mm_mask_storeu_epi8(y + i, lanes, _mm512_cvtepi32_epi8(q));  // the low byte: q is within the dtype
  }
}

}  // namespace q8
