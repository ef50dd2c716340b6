// SPDX-License-Identifier: Apache-2.0
// requantize_staged with AVX2: products have 64 bits, so even and odd lanes go separately and meet again. A mask is a
// vector of all ones or zeros.
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

// acc * 2^left, limited to int32.
template <bool saturates>
__m256i shifted_left(__m256i acc, __m256i left) {
  const __m256i shifted = _mm256_sllv_epi32(acc, left);
  if constexpr (!saturates) return shifted;
  const __m256i end = _mm256_xor_si256(_mm256_srai_epi32(acc, 31), _mm256_set1_epi32(INT32_MAX));
  return _mm256_blendv_epi8(end, shifted, _mm256_cmpeq_epi32(_mm256_srav_epi32(shifted, left), acc));
}

// v limited to int32.
template <bool saturates>
__m256i limited(__m256i v) {
  if constexpr (saturates) {
    const __m256i low = _mm256_set1_epi64x(INT32_MIN), high = _mm256_set1_epi64x(INT32_MAX);
    const __m256i not_above = _mm256_blendv_epi8(v, high, _mm256_cmpgt_epi64(v, high));
    return _mm256_blendv_epi8(not_above, low, _mm256_cmpgt_epi64(low, not_above));
  }
  const __m256i sign = _mm256_set1_epi64x(int64_t{1} << 31);  // of the low half, which is extended
  return _mm256_sub_epi64(_mm256_xor_si256(_mm256_and_si256(v, _mm256_set1_epi64x(0xFFFFFFFF)), sign), sign);
}

// Of the even or of the odd channels among 8.
struct Lanes64 {
  __m256i multiplier, left;
  Rounding first, last;
};

struct Parameters {
  __m256i left;
  Lanes64 even, odd;
};

// The sum with the zero point saturates where v exceeds these bounds.
struct Sum {
  __m256i low, high, zero_point;
};

Sum make_sum(int32_t zero_point) {
  return {.low = _mm256_set1_epi32(zero_point < 0 ? INT32_MIN - zero_point : INT32_MIN),
          .high = _mm256_set1_epi32(zero_point > 0 ? INT32_MAX - zero_point : INT32_MAX),
          .zero_point = _mm256_set1_epi32(zero_point)};
}

Parameters make_parameters(const StagedRule& rule, __m256i multiplier, __m256i shift) {
  const __m256i first = _mm256_set1_epi32(rule.first_shift), zero = _mm256_setzero_si256();
  const __m256i left = _mm256_max_epi32(_mm256_sub_epi32(first, shift), zero);
  const __m256i rest = _mm256_max_epi32(_mm256_sub_epi32(shift, first), zero);
  const Rounding first_rounding = make_rounding(rule.first_rounding, _mm256_set1_epi64x(rule.first_shift));
  const auto lanes = [&](__m256i by, __m256i left_64, __m256i rest_64) {
    return Lanes64{
        .multiplier = by, .left = left_64, .first = first_rounding, .last = make_rounding(rule.rounding, rest_64)};
  };
  const auto even = [](__m256i v) { return _mm256_and_si256(v, _mm256_set1_epi64x(0xFFFFFFFF)); };
  const auto odd = [](__m256i v) { return _mm256_srli_epi64(v, 32); };
  return {.left = left,
          .even = lanes(even(multiplier), even(left), even(rest)),
          .odd = lanes(odd(multiplier), odd(left), odd(rest))};
}

// acc in the low halves of the lanes; of the result too.
template <bool has_stages, bool saturates, bool has_odd>
__m256i rescale_4(__m256i acc, const Lanes64& by) {
  const __m256i product = _mm256_mul_epi32(acc, by.multiplier);
  if constexpr (has_stages) return rounded<has_odd>(limited<saturates>(rounded<has_odd>(product, by.first)), by.last);
  const __m256i q = rounded<has_odd>(_mm256_sllv_epi64(product, by.left), by.last);
  return saturates ? limited<true>(q) : q;
}

template <bool has_stages, bool saturates, bool has_odd>
void run(const RequantizeStagedArgs& args) {
  const Sum sum = make_sum(args.range.zero_point);
  const auto load = [&](int64_t c, __m256i lanes) {
    const auto values = [&](const int32_t* from) {
      return args.parameter_stride != 0 ? load_lanes(from + c, lanes) : _mm256_set1_epi32(from[0]);
    };
    return make_parameters(args.rule, values(args.multiplier), values(args.shift));
  };
  const auto rescale = [sum](__m256i acc, const Parameters& by) {
    const __m256i shifted = has_stages ? shifted_left<saturates>(acc, by.left) : acc;
    const __m256i even = rescale_4<has_stages, saturates, has_odd>(shifted, by.even);
    const __m256i odd = rescale_4<has_stages, saturates, has_odd>(_mm256_srli_epi64(shifted, 32), by.odd);
    __m256i q = _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xAA);
    if constexpr (saturates) q = _mm256_min_epi32(_mm256_max_epi32(q, sum.low), sum.high);
    return _mm256_add_epi32(q, sum.zero_point);
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
