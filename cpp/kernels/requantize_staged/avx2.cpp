// SPDX-License-Identifier: Apache-2.0
// requantize_staged with AVX2: four accumulators at a time in lanes of 64 bits. A mask is a vector of all ones or
// zeros.
//
// Every rule is a floor: of the value plus a constant, plus another where it is negative, plus a third where its floor
// is odd.
#include "kernels/requantize/avx2.h"

#include "kernels/requantize_staged/requantize_staged.h"

namespace q8 {
namespace {

// What v / 2^n to an integer needs, in four lanes. AVX2 has no arithmetic shift of 64-bit lanes: with 2^63 added a
// logical one does, and 2^(63 - n) too much is taken off again.
struct Rounding {
  __m256i shift, all, if_negative, if_odd;  // 2^63 is in `all`
  __m256i too_much;
};

// The three constants where n > 0, and half is 2^(n - 1).
Rounding constants_of(IntegerRounding rule, __m256i half) {
  const __m256i zero = _mm256_setzero_si256(), one = _mm256_set1_epi64x(1), minus_one = _mm256_set1_epi64x(-1);
  const __m256i power = _mm256_add_epi64(half, half), below_half = _mm256_sub_epi64(half, one);
  const __m256i fraction = _mm256_sub_epi64(power, one);
  const auto make = [](__m256i all, __m256i if_negative, __m256i if_odd) {
    return Rounding{.shift = {}, .all = all, .if_negative = if_negative, .if_odd = if_odd, .too_much = {}};
  };
  switch (rule) {
    case IntegerRounding::half_even:
      return make(below_half, zero, one);
    case IntegerRounding::half_up:
      return make(half, zero, zero);
    case IntegerRounding::half_away:
      return make(half, minus_one, zero);
    case IntegerRounding::half_down:
      return make(below_half, zero, zero);
    case IntegerRounding::half_to_zero:
      return make(below_half, one, zero);
    case IntegerRounding::floor:
      return make(zero, zero, zero);
    case IntegerRounding::ceil:
      return make(fraction, zero, zero);
    case IntegerRounding::toward_zero:
      return make(zero, fraction, zero);
    case IntegerRounding::to_odd:  // the ceiling, unless the floor is odd
      return make(fraction, zero, _mm256_sub_epi64(zero, fraction));
    default:  // hwguide
      return make(half, _mm256_sub_epi64(zero, power), zero);
  }
}

Rounding make_rounding(IntegerRounding rule, __m256i n) {
  const __m256i one = _mm256_set1_epi64x(1), sign = _mm256_set1_epi64x(INT64_MIN);
  const __m256i has_fraction = _mm256_cmpgt_epi64(n, _mm256_setzero_si256());
  Rounding by = constants_of(rule, _mm256_sllv_epi64(one, _mm256_sub_epi64(n, one)));
  by.shift = n;
  by.all = _mm256_add_epi64(sign, _mm256_and_si256(by.all, has_fraction));
  by.if_negative = _mm256_and_si256(by.if_negative, has_fraction);
  by.if_odd = _mm256_and_si256(by.if_odd, has_fraction);
  by.too_much = _mm256_srlv_epi64(sign, n);
  return by;
}

bool looks_at_odd(IntegerRounding rule) {
  return rule == IntegerRounding::half_even || rule == IntegerRounding::to_odd;
}

template <bool has_odd>
__m256i rounded(__m256i v, const Rounding& by) {
  const __m256i zero = _mm256_setzero_si256();
  __m256i sum = _mm256_add_epi64(v, by.all);
  sum = _mm256_add_epi64(sum, _mm256_and_si256(_mm256_cmpgt_epi64(zero, v), by.if_negative));
  if constexpr (has_odd) {
    const __m256i last = _mm256_sllv_epi64(v, _mm256_sub_epi64(_mm256_set1_epi64x(63), by.shift));  // of the floor
    sum = _mm256_add_epi64(sum, _mm256_and_si256(_mm256_cmpgt_epi64(zero, last), by.if_odd));
  }
  return _mm256_sub_epi64(_mm256_srlv_epi64(sum, by.shift), by.too_much);
}

// The low halves of four lanes.
__m128i low_halves(__m256i v) {
  return _mm256_castsi256_si128(_mm256_permutevar8x32_epi32(v, _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6)));
}

template <bool saturates>
__m256i limited(__m256i v) {
  if constexpr (!saturates) return _mm256_cvtepi32_epi64(low_halves(v));
  const __m256i low = _mm256_set1_epi64x(INT32_MIN), high = _mm256_set1_epi64x(INT32_MAX);
  const __m256i not_above = _mm256_blendv_epi8(v, high, _mm256_cmpgt_epi64(v, high));
  return _mm256_blendv_epi8(not_above, low, _mm256_cmpgt_epi64(low, not_above));
}

struct Parameters {
  __m256i multiplier, left;
  Rounding first, last;
};

struct Halves {
  Parameters first, last;  // of four channels each
};

Parameters make_parameters(const StagedRule& rule, __m128i multiplier, __m128i shift) {
  const __m128i first = _mm_set1_epi32(rule.first_shift), zero = _mm_setzero_si128();
  const __m256i rest = _mm256_cvtepi32_epi64(_mm_max_epi32(_mm_sub_epi32(shift, first), zero));
  return {.multiplier = _mm256_cvtepi32_epi64(multiplier),
          .left = _mm256_cvtepi32_epi64(_mm_max_epi32(_mm_sub_epi32(first, shift), zero)),
          .first = make_rounding(rule.first_rounding, _mm256_set1_epi64x(rule.first_shift)),
          .last = make_rounding(rule.rounding, rest)};
}

template <bool has_stages, bool saturates, bool has_odd>
__m256i rescale_4(__m256i acc, const Parameters& by) {
  if constexpr (!has_stages) {
    const __m256i product = _mm256_sllv_epi64(_mm256_mul_epi32(acc, by.multiplier), by.left);
    return limited<saturates>(rounded<has_odd>(product, by.last));
  }
  const __m256i shifted = limited<saturates>(_mm256_sllv_epi64(acc, by.left));
  const __m256i high = rounded<has_odd>(_mm256_mul_epi32(shifted, by.multiplier), by.first);
  return rounded<has_odd>(limited<saturates>(high), by.last);
}

template <bool has_stages, bool saturates, bool has_odd>
void run(const RequantizeStagedArgs& args) {
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
  const auto requantize_4 = [zero_point](__m128i acc, const Parameters& by) {
    const __m256i rescaled = rescale_4<has_stages, saturates, has_odd>(_mm256_cvtepi32_epi64(acc), by);
    return low_halves(limited<saturates>(_mm256_add_epi64(rescaled, zero_point)));
  };
  const auto rescale = [requantize_4](__m256i acc, const Halves& by) {
    return _mm256_setr_m128i(requantize_4(_mm256_castsi256_si128(acc), by.first),
                             requantize_4(_mm256_extracti128_si256(acc, 1), by.last));
  };
  requantize_blocks(args, args.parameter_stride, 0, load, rescale);
}

template <bool has_stages, bool saturates>
void run_rounding(const RequantizeStagedArgs& args) {
  const bool first_is_odd = has_stages && looks_at_odd(args.rule.first_rounding);
  if (first_is_odd || looks_at_odd(args.rule.rounding)) return run<has_stages, saturates, true>(args);
  return run<has_stages, saturates, false>(args);
}

template <bool has_stages>
void run_stages(const RequantizeStagedArgs& args) {
  return args.rule.saturates ? run_rounding<has_stages, true>(args) : run_rounding<has_stages, false>(args);
}

}  // namespace

void requantize_staged_avx2(const RequantizeStagedArgs& args) {
  return args.rule.first_shift == 0 ? run_stages<false>(args) : run_stages<true>(args);
}

}  // namespace q8
