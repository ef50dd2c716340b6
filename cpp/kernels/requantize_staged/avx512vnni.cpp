// SPDX-License-Identifier: Apache-2.0
// requantize_staged with AVX-512: eight accumulators at a time in lanes of 64 bits.
#include "kernels/intrinsics.h"
#include "kernels/requantize_staged/requantize_staged.h"

namespace q8 {
namespace {

// Where v / 2^n, with n > 0, lies above its floor by so much that the rule takes one more.
struct Fraction {
  __mmask8 is_inexact, is_above_half, is_half, is_odd, is_negative;
};

__mmask8 one_more(IntegerRounding rule, const Fraction& f) {
  const unsigned above = f.is_above_half, half = f.is_half, odd = f.is_odd, negative = f.is_negative;
  const auto chosen = [&]() -> unsigned {
    switch (rule) {
      case IntegerRounding::half_even:
        return above | (half & odd);
      case IntegerRounding::half_up:
      case IntegerRounding::hwguide:
        return above | half;
      case IntegerRounding::half_away:
        return above | (half & ~negative);
      case IntegerRounding::half_down:
        return above;
      case IntegerRounding::half_to_zero:
        return above | (half & negative);
      case IntegerRounding::floor:
        return 0;
      case IntegerRounding::ceil:
        return f.is_inexact;
      case IntegerRounding::toward_zero:
        return f.is_inexact & negative;
      default:  // to_odd: an even floor has room in its last bit
        return f.is_inexact & ~odd;
    }
  };
  return static_cast<__mmask8>(chosen());
}

__m512i rounded(__m512i v, IntegerRounding rule, __m512i n) {
  const __m512i one = _mm512_set1_epi64(1), zero = _mm512_setzero_si512();
  const __m512i power = _mm512_sllv_epi64(one, n), half = _mm512_srli_epi64(power, 1);
  const __m512i rest = _mm512_and_si512(v, _mm512_sub_epi64(power, one)), floor = _mm512_srav_epi64(v, n);
  const __mmask8 has_fraction = _mm512_test_epi64_mask(n, n);
  const Fraction f{.is_inexact = _mm512_test_epi64_mask(rest, rest),
                   .is_above_half = _mm512_cmpgt_epi64_mask(rest, half),
                   .is_half = _mm512_mask_cmpeq_epi64_mask(has_fraction, rest, half),
                   .is_odd = _mm512_test_epi64_mask(floor, one),
                   .is_negative = _mm512_cmpgt_epi64_mask(zero, v)};
  const __m512i up = _mm512_mask_add_epi64(floor, one_more(rule, f), floor, one);
  if (rule != IntegerRounding::hwguide) return up;
  return _mm512_mask_sub_epi64(up, static_cast<__mmask8>(has_fraction & f.is_negative), up, one);
}

__m512i limited(__m512i v, bool saturates) {
  return _mm512_cvtepi32_epi64(saturates ? _mm512_cvtsepi64_epi32(v) : _mm512_cvtepi64_epi32(v));
}

// Eight int32 values that a mask chooses, the others 0.
__m512i load_8(__mmask8 lanes, const int32_t* from) {
  return _mm512_cvtepi32_epi64(_mm256_maskz_loadu_epi32(lanes, from));
}

struct Parameters {
  __m512i multiplier, left, rest;
};

Parameters make_parameters(const StagedRule& rule, __m512i multiplier, __m512i shift) {
  const __m512i first = _mm512_set1_epi64(rule.first_shift), zero = _mm512_setzero_si512();
  return {.multiplier = multiplier,
          .left = _mm512_max_epi64(_mm512_sub_epi64(first, shift), zero),
          .rest = _mm512_max_epi64(_mm512_sub_epi64(shift, first), zero)};
}

__m512i rescale_8(__m512i acc, const StagedRule& rule, const Parameters& by) {
  if (rule.first_shift == 0) {
    const __m512i product = _mm512_sllv_epi64(_mm512_mul_epi32(acc, by.multiplier), by.left);
    return limited(rounded(product, rule.rounding, by.rest), rule.saturates);
  }
  const __m512i shifted = limited(_mm512_sllv_epi64(acc, by.left), rule.saturates);
  const __m512i product = _mm512_mul_epi32(shifted, by.multiplier);
  const __m512i high = rounded(product, rule.first_rounding, _mm512_set1_epi64(rule.first_shift));
  return rounded(limited(high, rule.saturates), rule.rounding, by.rest);
}

}  // namespace

void requantize_staged_avx512vnni(const RequantizeStagedArgs& args) {
  const __m512i low = _mm512_set1_epi64(args.range.qmin), high = _mm512_set1_epi64(args.range.qmax);
  const __m512i zero_point = _mm512_set1_epi64(args.range.zero_point);
  Parameters by = make_parameters(args.rule, _mm512_set1_epi64(args.multiplier[0]), _mm512_set1_epi64(args.shift[0]));
  for (int64_t r = 0; r < args.rows; ++r) {
    const int32_t* acc = args.acc + r * args.acc_stride;
    uint8_t* y = static_cast<uint8_t*>(args.y) + r * args.y_stride;
    for (int64_t c = 0; c < args.channels; c += 8) {
      const int64_t left = args.channels - c;
      const __mmask8 lanes = static_cast<__mmask8>(left >= 8 ? 0xFF : (1 << left) - 1);
      if (args.parameter_stride != 0) {
        by = make_parameters(args.rule, load_8(lanes, args.multiplier + c), load_8(lanes, args.shift + c));
      }
      const __m512i rescaled = rescale_8(load_8(lanes, acc + c), args.rule, by);
      const __m512i sum = limited(_mm512_add_epi64(rescaled, zero_point), args.rule.saturates);
      const __m512i q = _mm512_min_epi64(_mm512_max_epi64(sum, low), high);
      _mm_mask_storeu_epi8(y + c, lanes, _mm512_cvtepi64_epi8(q));  // the low byte: q is within the dtype
    }
  }
}

}  // namespace q8
