// SPDX-License-Identifier: Apache-2.0
// requantize_multiplier with AVX2. Products have 64 bits, so even and odd lanes go separately and meet again.
#include "kernels/requantize/avx2.h"

#include "kernels/requantize_multiplier/requantize_multiplier.h"

namespace q8 {
namespace {

struct Products {
  __m256i even, odd;  // 64 bits each
};

Products multiply(__m256i x, __m256i multiplier) {
  return {.even = _mm256_mul_epi32(x, multiplier),
          .odd = _mm256_mul_epi32(_mm256_srli_epi64(x, 32), _mm256_srli_epi64(multiplier, 32))};
}

// half_up(x * multiplier / 2^31): bits 31 to 62 of the sum, which is all that the odd lanes shift to their upper half.
__m256i high_mul(__m256i x, __m256i multiplier) {
  const __m256i half = _mm256_set1_epi64x(int64_t{1} << 30);
  const Products products = multiply(x, multiplier);
  const __m256i even = _mm256_srli_epi64(_mm256_add_epi64(products.even, half), 31);
  const __m256i odd = _mm256_slli_epi64(_mm256_add_epi64(products.odd, half), 1);
  return _mm256_blend_epi32(even, odd, 0xAA);
}

// half_away(v / 2^n): the floor, plus one where the bits shifted out exceed half, or reach it and v is not negative.
__m256i half_away_32(__m256i v, __m256i n) {
  const __m256i mask = _mm256_sub_epi32(_mm256_sllv_epi32(_mm256_set1_epi32(1), n), _mm256_set1_epi32(1));
  const __m256i threshold = _mm256_sub_epi32(_mm256_srli_epi32(mask, 1), _mm256_srai_epi32(v, 31));
  return _mm256_sub_epi32(_mm256_srav_epi32(v, n), _mm256_cmpgt_epi32(_mm256_and_si256(v, mask), threshold));
}

// half_up(v / 2^n): the floor, plus the last bit shifted out.
__m256i half_up_32(__m256i v, __m256i n) {
  const __m256i one = _mm256_set1_epi32(1);
  const __m256i last = _mm256_and_si256(_mm256_srav_epi32(v, _mm256_sub_epi32(n, one)), one);
  return _mm256_add_epi32(_mm256_srav_epi32(v, n),
                          _mm256_and_si256(last, _mm256_cmpgt_epi32(n, _mm256_setzero_si256())));
}

// What a rule needs of the parameters of 8 channels.
template <MultiplierRule rule>
struct Parameters {
  __m256i multiplier, left, rest;
};

template <MultiplierRule rule>
Parameters<rule> prepare(__m256i multiplier, __m256i shift, __m256i) {
  const __m256i all = _mm256_set1_epi32(31), zero = _mm256_setzero_si256();
  return {.multiplier = multiplier,
          .left = _mm256_max_epi32(_mm256_sub_epi32(all, shift), zero),
          .rest = _mm256_max_epi32(_mm256_sub_epi32(shift, all), zero)};
}

template <MultiplierRule rule>
__m256i rescale_8(__m256i acc, const Parameters<rule>& by, __m256i zero_point) {
  const __m256i high = high_mul(_mm256_sllv_epi32(acc, by.left), by.multiplier);
  return _mm256_add_epi32(rule == MultiplierRule::ruy_x86 ? half_up_32(high, by.rest) : half_away_32(high, by.rest),
                          zero_point);
}

// half_up(product / 2^shift), low half. AVX2 has no arithmetic shift of 64-bit lanes: with 2^63 added a logical one
// does, and 2^(63 - shift) too much is taken off again, together with adding the zero point.
template <>
struct Parameters<MultiplierRule::single_rounding> {
  __m256i multiplier;
  __m256i even_shift, odd_shift;
  __m256i even_sum, odd_sum;  // half of 2^shift, and 2^63
  __m256i sum;                // the zero point minus 2^(63 - shift)
};

template <>
Parameters<MultiplierRule::single_rounding> prepare(__m256i multiplier, __m256i shift, __m256i zero_point) {
  const __m256i sign = _mm256_set1_epi64x(INT64_MIN), one = _mm256_set1_epi64x(1);
  const __m256i even = _mm256_and_si256(shift, _mm256_set1_epi64x(0xFFFFFFFF)), odd = _mm256_srli_epi64(shift, 32);
  const auto sum = [&](__m256i n) { return _mm256_add_epi64(sign, _mm256_sllv_epi64(one, _mm256_sub_epi64(n, one))); };
  const __m256i excess =
      _mm256_blend_epi32(_mm256_srlv_epi64(sign, even), _mm256_slli_epi64(_mm256_srlv_epi64(sign, odd), 32), 0xAA);
  return {.multiplier = multiplier,
          .even_shift = even,
          .odd_shift = odd,
          .even_sum = sum(even),
          .odd_sum = sum(odd),
          .sum = _mm256_sub_epi32(zero_point, excess)};
}

template <>
__m256i rescale_8(__m256i acc, const Parameters<MultiplierRule::single_rounding>& by, __m256i) {
  const Products products = multiply(acc, by.multiplier);
  const __m256i even = _mm256_srlv_epi64(_mm256_add_epi64(products.even, by.even_sum), by.even_shift);
  const __m256i odd = _mm256_srlv_epi64(_mm256_add_epi64(products.odd, by.odd_sum), by.odd_shift);
  return _mm256_add_epi32(_mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xAA), by.sum);
}

template <MultiplierRule rule>
void run(const RequantizeMultiplierArgs& args) {
  const __m256i zero_point = _mm256_set1_epi32(args.range.zero_point);
  const auto load = [&](int64_t c, __m256i lanes) {
    const auto values = [&](const int32_t* from) {
      return args.parameter_stride != 0 ? load_lanes(from + c, lanes) : _mm256_set1_epi32(from[0]);
    };
    return prepare<rule>(values(args.multiplier), values(args.shift), zero_point);
  };
  const auto rescale = [zero_point](__m256i acc, const Parameters<rule>& by) { return rescale_8(acc, by, zero_point); };
  requantize_blocks(args, args.parameter_stride, 0, load, rescale);
}

}  // namespace

void requantize_multiplier_avx2(const RequantizeMultiplierArgs& args) {
  switch (args.rule) {
    case MultiplierRule::double_rounding:
      return run<MultiplierRule::double_rounding>(args);
    case MultiplierRule::ruy_x86:
      return run<MultiplierRule::ruy_x86>(args);
    case MultiplierRule::single_rounding:
      return run<MultiplierRule::single_rounding>(args);
  }
}

}  // namespace q8
