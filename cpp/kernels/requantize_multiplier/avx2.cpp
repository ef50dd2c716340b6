// SPDX-License-Identifier: Apache-2.0
// requantize_multiplier with AVX2. Products have 64 bits, so even and odd lanes go separately and meet again.
//
// All rules are one: floors of floors are floors, so that two roundings are one shift of the product with the halves of
// both in the sum, for high = half_up(product / 2^31) and n = shift - 31:
//   half_up(high / 2^n) = floor((product + 2^30 + 2^(n + 30)) / 2^(n + 31)), and
//   half_away(high / 2^n) the same, with 2^31 less in the sum where high is negative. Where the accumulator is, is as
//   good: between the two lies high = 0, which becomes 0 either way.
#include "kernels/requantize/avx2.h"

#include "kernels/requantize_multiplier/requantize_multiplier.h"

namespace q8 {
namespace {

// Of the even or of the odd channels among 8, in lanes of 64 bits. AVX2 has no arithmetic shift of those: with 2^63
// added a logical one does, and 2^(63 - shift) too much is taken off again, together with adding the zero point.
struct Lanes64 {
  __m256i multiplier, shift;
  __m256i sum;       // the halves, and 2^63
  __m256i negative;  // 2^31 where negative values round to the other side of a tie, else 0
};

struct Parameters {
  Lanes64 even, odd;
  __m256i left;
  __m256i sum;  // the zero point minus 2^(63 - shift)
};

Lanes64 prepare_lanes(MultiplierRule rule, __m256i multiplier, __m256i shift) {
  const __m256i one = _mm256_set1_epi64x(1), all = _mm256_set1_epi64x(31), sign = _mm256_set1_epi64x(INT64_MIN);
  const auto power = [one](__m256i n) { return _mm256_sllv_epi64(one, n); };
  if (rule == MultiplierRule::single_rounding) {
    return {.multiplier = multiplier,
            .shift = shift,
            .sum = _mm256_add_epi64(sign, power(_mm256_sub_epi64(shift, one))),
            .negative = _mm256_setzero_si256()};
  }
  const __m256i has_rest = _mm256_cmpgt_epi64(shift, all);
  const __m256i total = _mm256_blendv_epi8(all, shift, has_rest);
  const __m256i second_half = _mm256_and_si256(has_rest, power(_mm256_sub_epi64(total, one)));
  const bool is_away = rule == MultiplierRule::double_rounding;
  return {.multiplier = multiplier,
          .shift = total,
          .sum = _mm256_add_epi64(_mm256_add_epi64(sign, _mm256_set1_epi64x(int64_t{1} << 30)), second_half),
          .negative = _mm256_and_si256(has_rest, _mm256_set1_epi64x(is_away ? int64_t{1} << 31 : 0))};
}

// The low halves of even and odd lanes, in order.
__m256i interleave(__m256i even, __m256i odd) { return _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xAA); }

Parameters prepare(MultiplierRule rule, __m256i multiplier, __m256i shift, __m256i zero_point) {
  const __m256i low = _mm256_set1_epi64x(0xFFFFFFFF), zero = _mm256_setzero_si256();
  const Lanes64 even = prepare_lanes(rule, multiplier, _mm256_and_si256(shift, low));
  const Lanes64 odd = prepare_lanes(rule, _mm256_srli_epi64(multiplier, 32), _mm256_srli_epi64(shift, 32));
  const __m256i sign = _mm256_set1_epi64x(INT64_MIN);
  const __m256i excess = interleave(_mm256_srlv_epi64(sign, even.shift), _mm256_srlv_epi64(sign, odd.shift));
  const bool has_left = rule != MultiplierRule::single_rounding;
  return {.even = even,
          .odd = odd,
          .left = has_left ? _mm256_max_epi32(_mm256_sub_epi32(_mm256_set1_epi32(31), shift), zero) : zero,
          .sum = _mm256_sub_epi32(zero_point, excess)};
}

// acc in the low halves of the lanes; of the result too.
template <MultiplierRule rule>
__m256i rescale_4(__m256i acc, const Lanes64& by) {
  __m256i product = _mm256_add_epi64(_mm256_mul_epi32(acc, by.multiplier), by.sum);
  if constexpr (rule == MultiplierRule::double_rounding) {
    product = _mm256_sub_epi64(product, _mm256_and_si256(acc, by.negative));  // bit 31 of acc is its sign
  }
  return _mm256_srlv_epi64(product, by.shift);
}

template <MultiplierRule rule>
void run(const RequantizeMultiplierArgs& args) {
  const __m256i zero_point = _mm256_set1_epi32(args.range.zero_point);
  const auto load = [&](int64_t c, __m256i lanes) {
    const auto values = [&](const int32_t* from) {
      return args.parameter_stride != 0 ? load_lanes(from + c, lanes) : _mm256_set1_epi32(from[0]);
    };
    return prepare(rule, values(args.multiplier), values(args.shift), zero_point);
  };
  const auto rescale = [](__m256i acc, const Parameters& by) {
    const __m256i shifted = rule == MultiplierRule::single_rounding ? acc : _mm256_sllv_epi32(acc, by.left);
    const __m256i even = rescale_4<rule>(shifted, by.even);
    const __m256i odd = rescale_4<rule>(_mm256_srli_epi64(shifted, 32), by.odd);
    return _mm256_add_epi32(interleave(even, odd), by.sum);
  };
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
