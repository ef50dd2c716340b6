// SPDX-License-Identifier: Apache-2.0
// requantize_staged with AVX2: four accumulators at a time in lanes of 64 bits. A mask is a vector of all ones or
// zeros.
#include <immintrin.h>

#include <cstring>

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

__m128i load_4(const int32_t* from) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from)); }

// Up to four, by way of memory that is long enough.
void requantize_4(const RequantizeStagedArgs& args, const int32_t* acc, const Parameters& by, uint8_t* y,
                  int64_t count) {
  int32_t values[4] = {};
  std::memcpy(values, acc, static_cast<size_t>(count) * sizeof(int32_t));
  const __m256i rescaled = rescale_4(_mm256_cvtepi32_epi64(load_4(values)), args.rule, by);
  const __m256i sum =
      limited(_mm256_add_epi64(rescaled, _mm256_set1_epi64x(args.range.zero_point)), args.rule.saturates);
  const __m128i not_below = _mm_max_epi32(low_halves(sum), _mm_set1_epi32(args.range.qmin));
  const __m128i q = _mm_min_epi32(not_below, _mm_set1_epi32(args.range.qmax));
  const __m128i low_bytes = _mm_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
  const int bytes = _mm_cvtsi128_si32(_mm_shuffle_epi8(q, low_bytes));
  std::memcpy(y, &bytes, static_cast<size_t>(count));
}

}  // namespace

void requantize_staged_avx2(const RequantizeStagedArgs& args) {
  Parameters by = make_parameters(args.rule, _mm_set1_epi32(args.multiplier[0]), _mm_set1_epi32(args.shift[0]));
  for (int64_t r = 0; r < args.rows; ++r) {
    const int32_t* acc = args.acc + r * args.acc_stride;
    uint8_t* y = static_cast<uint8_t*>(args.y) + r * args.y_stride;
    for (int64_t c = 0; c < args.channels; c += 4) {
      const int64_t count = args.channels - c < 4 ? args.channels - c : 4;
      if (args.parameter_stride != 0) {
        int32_t multiplier[4] = {}, shift[4] = {};
        std::memcpy(multiplier, args.multiplier + c, static_cast<size_t>(count) * sizeof(int32_t));
        std::memcpy(shift, args.shift + c, static_cast<size_t>(count) * sizeof(int32_t));
        by = make_parameters(args.rule, load_4(multiplier), load_4(shift));
      }
      requantize_4(args, acc + c, by, y + c, count);
    }
  }
}

}  // namespace q8
