// SPDX-License-Identifier: Apache-2.0
// requantize_staged with AVX2: four accumulators at a time in lanes of 64 bits. A mask is a vector of all ones or
// zeros.
#include "kernels/requantize/avx2.h"

#include "kernels/requantize_staged/requantize_staged.h"

namespace q8 {
namespace {

// Where v / 2^n, with n > 0, lies above its floor by so much that the rule takes one more.
struct Fraction {
  __m256i is_exact, is_above_half, is_half, is_odd, is_negative;
};

__m256i one_more(IntegerRounding rule, const Fraction& f) {
  switch (rule) {
    case IntegerRounding::half_even:
      return _mm256_or_si256(f.is_above_half, _mm256_and_si256(f.is_half, f.is_odd));
    case IntegerRounding::half_up:
    case IntegerRounding::hwguide:
      return _mm256_or_si256(f.is_above_half, f.is_half);
    case IntegerRounding::half_away:
      return _mm256_or_si256(f.is_above_half, _mm256_andnot_si256(f.is_negative, f.is_half));
    case IntegerRounding::half_down:
      return f.is_above_half;
    case IntegerRounding::half_to_zero:
      return _mm256_or_si256(f.is_above_half, _mm256_and_si256(f.is_half, f.is_negative));
    case IntegerRounding::floor:
      return _mm256_setzero_si256();
    case IntegerRounding::ceil:
      return _mm256_xor_si256(f.is_exact, _mm256_set1_epi64x(-1));
    case IntegerRounding::toward_zero:
      return _mm256_andnot_si256(f.is_exact, f.is_negative);
    default:  // to_odd: an even floor has room in its last bit
      return _mm256_xor_si256(_mm256_or_si256(f.is_exact, f.is_odd), _mm256_set1_epi64x(-1));
  }
}

// AVX2 has no arithmetic shift of 64-bit lanes: with the sign bit flipped a logical one does, and 2^(63 - n) too much
// is taken off again.
__m256i floor_shift(__m256i v, __m256i n) {
  const __m256i sign = _mm256_set1_epi64x(INT64_MIN);
  return _mm256_sub_epi64(_mm256_srlv_epi64(_mm256_xor_si256(v, sign), n), _mm256_srlv_epi64(sign, n));
}

__m256i rounded(__m256i v, IntegerRounding rule, __m256i n) {
  const __m256i one = _mm256_set1_epi64x(1), zero = _mm256_setzero_si256();
  const __m256i power = _mm256_sllv_epi64(one, n), half = _mm256_srli_epi64(power, 1);
  const __m256i rest = _mm256_and_si256(v, _mm256_sub_epi64(power, one)), floor = floor_shift(v, n);
  const __m256i has_fraction = _mm256_cmpgt_epi64(n, zero);
  const Fraction f{.is_exact = _mm256_cmpeq_epi64(rest, zero),
                   .is_above_half = _mm256_cmpgt_epi64(rest, half),
                   .is_half = _mm256_and_si256(has_fraction, _mm256_cmpeq_epi64(rest, half)),
                   .is_odd = _mm256_cmpeq_epi64(_mm256_and_si256(floor, one), one),
                   .is_negative = _mm256_cmpgt_epi64(zero, v)};
  const __m256i up = _mm256_sub_epi64(floor, one_more(rule, f));  // a mask is -1
  if (rule != IntegerRounding::hwguide) return up;
  return _mm256_add_epi64(up, _mm256_and_si256(has_fraction, f.is_negative));
}

// The low halves of four lanes.
__m128i low_halves(__m256i v) {
  return _mm256_castsi256_si128(_mm256_permutevar8x32_epi32(v, _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6)));
}

__m256i limited(__m256i v, bool saturates) {
  if (!saturates) return _mm256_cvtepi32_epi64(low_halves(v));
  const __m256i low = _mm256_set1_epi64x(INT32_MIN), high = _mm256_set1_epi64x(INT32_MAX);
  const __m256i not_above = _mm256_blendv_epi8(v, high, _mm256_cmpgt_epi64(v, high));
  return _mm256_blendv_epi8(not_above, low, _mm256_cmpgt_epi64(low, not_above));
}

struct Parameters {
  __m256i multiplier, left, rest;
};

struct Halves {
  Parameters first, last;  // of four channels each
};

Parameters make_parameters(const StagedRule& rule, __m128i multiplier, __m128i shift) {
  const __m128i first = _mm_set1_epi32(rule.first_shift), zero = _mm_setzero_si128();
  return {.multiplier = _mm256_cvtepi32_epi64(multiplier),
          .left = _mm256_cvtepi32_epi64(_mm_max_epi32(_mm_sub_epi32(first, shift), zero)),
          .rest = _mm256_cvtepi32_epi64(_mm_max_epi32(_mm_sub_epi32(shift, first), zero))};
}

__m256i rescale_4(__m256i acc, const StagedRule& rule, const Parameters& by) {
  if (rule.first_shift == 0) {
    const __m256i product = _mm256_sllv_epi64(_mm256_mul_epi32(acc, by.multiplier), by.left);
    return limited(rounded(product, rule.rounding, by.rest), rule.saturates);
  }
  const __m256i shifted = limited(_mm256_sllv_epi64(acc, by.left), rule.saturates);
  const __m256i product = _mm256_mul_epi32(shifted, by.multiplier);
  const __m256i high = rounded(product, rule.first_rounding, _mm256_set1_epi64x(rule.first_shift));
  return rounded(limited(high, rule.saturates), rule.rounding, by.rest);
}

// rescale_staged plus the zero point
__m128i requantize_4(__m128i acc, const StagedRule& rule, const Parameters& by, __m256i zero_point) {
  const __m256i rescaled = rescale_4(_mm256_cvtepi32_epi64(acc), rule, by);
  return low_halves(limited(_mm256_add_epi64(rescaled, zero_point), rule.saturates));
}

}  // namespace

void requantize_staged_avx2(const RequantizeStagedArgs& args) {
  const __m256i zero_point = _mm256_set1_epi64x(args.range.zero_point);
  const auto load = [&](int64_t c, __m256i lanes) {
    const auto values = [&](const int32_t* from) {
      return args.parameter_stride != 0 ? load_lanes(from + c, lanes) : _mm256_set1_epi32(from[0]);
    };
    const __m256i multiplier = values(args.multiplier), shift = values(args.shift);
    return Halves{
        .first = make_parameters(args.rule, _mm256_castsi256_si128(multiplier), _mm256_castsi256_si128(shift)),
        .last =
            make_parameters(args.rule, _mm256_extracti128_si256(multiplier, 1), _mm256_extracti128_si256(shift, 1))};
  };
  const auto rescale = [&](__m256i acc, const Halves& by) {
    const __m128i first = requantize_4(_mm256_castsi256_si128(acc), args.rule, by.first, zero_point);
    const __m128i last = requantize_4(_mm256_extracti128_si256(acc, 1), args.rule, by.last, zero_point);
    return _mm256_setr_m128i(first, last);
  };
  requantize_blocks(args, args.parameter_stride, 0, load, rescale);
}

}  // namespace q8
