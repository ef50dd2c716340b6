// SPDX-License-Identifier: Apache-2.0
// quantize with AVX2 and FMA. To saturate, then round, then clamp is to clamp to [qmin - zp, qmax - zp] and round: the
// bounds are integers inside the range of the dtype, and both roundings are monotonic. max(v, low) is low for a NaN.
#include <immintrin.h>

#include <cstring>

#include "kernels/quantize/quantize.h"

namespace q8 {
namespace {

struct Parameters {
  __m256 scale, reciprocal;
  __m256 zero_point, low, high;  // the bounds of v
  __m256i added;                 // to the rounded v
};

Parameters parameters(__m256 scale, __m256i zero_point, const QuantizeArgs& args) {
  const bool is_inside = args.rule == QuantizeRule::half_even_fused;
  const __m256i added = is_inside ? _mm256_setzero_si256() : zero_point;
  return {.scale = scale,
          .reciprocal = _mm256_div_ps(_mm256_set1_ps(1.0f), scale),
          .zero_point = _mm256_cvtepi32_ps(zero_point),
          .low = _mm256_cvtepi32_ps(_mm256_sub_epi32(_mm256_set1_epi32(args.range.qmin), added)),
          .high = _mm256_cvtepi32_ps(_mm256_sub_epi32(_mm256_set1_epi32(args.range.qmax), added)),
          .added = added};
}

__m256 value(__m256 x, const Parameters& p, QuantizeRule rule) {
  if (rule == QuantizeRule::half_even_reciprocal) return _mm256_mul_ps(x, p.reciprocal);
  if (rule == QuantizeRule::half_even_fused) return _mm256_fmadd_ps(x, p.reciprocal, p.zero_point);
  return _mm256_div_ps(x, p.scale);
}

// The part behind the point is exact, so it says which side of the middle v is on.
__m256i half_away(__m256 v) {
  const __m256 whole = _mm256_round_ps(v, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC);
  const __m256 sign = _mm256_set1_ps(-0.0f);
  const __m256 part = _mm256_andnot_ps(sign, _mm256_sub_ps(v, whole));
  const __m256 is_beyond = _mm256_cmp_ps(part, _mm256_set1_ps(0.5f), _CMP_GE_OQ);
  const __m256 one = _mm256_or_ps(_mm256_set1_ps(1.0f), _mm256_and_ps(v, sign));
  return _mm256_cvttps_epi32(_mm256_add_ps(whole, _mm256_and_ps(one, is_beyond)));
}

// 8 values as int32 within the range of the dtype
__m256i quantize_8(const float* x, const Parameters& p, QuantizeRule rule) {
  const __m256 v = value(_mm256_loadu_ps(x), p, rule);
  const __m256 bounded = _mm256_min_ps(_mm256_max_ps(v, p.low), p.high);
  const __m256i q = rule == QuantizeRule::half_away ? half_away(bounded) : _mm256_cvtps_epi32(bounded);
  return _mm256_add_epi32(q, p.added);
}

// The low bytes of 8 values within the range of a byte, in order.
__m128i narrow(__m256i q) {
  const __m256i low_bytes = _mm256_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,  //
                                             0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
  const __m256i halves = _mm256_shuffle_epi8(q, low_bytes);
  return _mm_unpacklo_epi32(_mm256_castsi256_si128(halves), _mm256_extracti128_si256(halves, 1));
}

// Fewer than 8, by way of memory that is long enough.
void quantize_rest(const QuantizeArgs& args, int64_t at, int64_t count) {
  float x[8] = {}, scale[8];
  int32_t zero_point[8];
  uint8_t bytes[8];
  for (int64_t i = 0; i < 8; ++i) {
    const int64_t from = at + (i < count ? i : 0);
    x[i] = args.x[from];
    scale[i] = args.scale[from * args.parameter_step];
    zero_point[i] = args.zero_point[from * args.parameter_step];
  }
  const __m256i zero_points = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(zero_point));
  const Parameters p = parameters(_mm256_loadu_ps(scale), zero_points, args);
  _mm_storel_epi64(reinterpret_cast<__m128i*>(bytes), narrow(quantize_8(x, p, args.rule)));
  std::memcpy(static_cast<uint8_t*>(args.y) + at, bytes, static_cast<size_t>(count));
}

template <QuantizeRule rule>
void quantize_by(const QuantizeArgs& args) {
  uint8_t* y = static_cast<uint8_t*>(args.y);
  Parameters p = parameters(_mm256_set1_ps(args.scale[0]), _mm256_set1_epi32(args.zero_point[0]), args);
  int64_t i = 0;
  for (; i + 8 <= args.count; i += 8) {
    if (args.parameter_step != 0) {
      const __m256i zero_point = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(args.zero_point + i));
      p = parameters(_mm256_loadu_ps(args.scale + i), zero_point, args);
    }
    _mm_storel_epi64(reinterpret_cast<__m128i*>(y + i), narrow(quantize_8(args.x + i, p, rule)));
  }
  if (i < args.count) quantize_rest(args, i, args.count - i);
}

}  // namespace

void quantize_avx2(const QuantizeArgs& args) {
  switch (args.rule) {
    case QuantizeRule::half_even:
      return quantize_by<QuantizeRule::half_even>(args);
    case QuantizeRule::half_away:
      return quantize_by<QuantizeRule::half_away>(args);
    case QuantizeRule::half_even_reciprocal:
      return quantize_by<QuantizeRule::half_even_reciprocal>(args);
    case QuantizeRule::half_even_fused:
      return quantize_by<QuantizeRule::half_even_fused>(args);
    default:
      quantize_reference(args);  // in binary64
  }
}

}  // namespace q8
