// SPDX-License-Identifier: Apache-2.0
// requantize_multiplier with AVX-512. Products have 64 bits, so even and odd lanes go separately and meet again.
#include "kernels/intrinsics.h"
#include "kernels/requantize_multiplier/requantize_multiplier.h"

namespace q8 {
namespace {

struct Parameters {
  __m512i multiplier, shift;
};

// The low halves of the 64-bit results, in the order of the 32-bit lanes.
__m512i interleave(__m512i even, __m512i odd) {
  return _mm512_mask_blend_epi32(0xAAAA, even, _mm512_slli_epi64(odd, 32));
}

// half_up(x * multiplier / 2^31)
__m512i high_mul(__m512i x, __m512i multiplier) {
  const __m512i half = _mm512_set1_epi64(int64_t{1} << 30);
  const __m512i even = _mm512_mul_epi32(x, multiplier);
  const __m512i odd = _mm512_mul_epi32(_mm512_srli_epi64(x, 32), _mm512_srli_epi64(multiplier, 32));
  return interleave(_mm512_srli_epi64(_mm512_add_epi64(even, half), 31),
                    _mm512_srli_epi64(_mm512_add_epi64(odd, half), 31));
}

// half_up(product / 2^shift)
__m512i half_up_64(__m512i product, __m512i shift) {
  const __m512i one = _mm512_set1_epi64(1);
  const __m512i half = _mm512_sllv_epi64(one, _mm512_sub_epi64(shift, one));
  return _mm512_srav_epi64(_mm512_add_epi64(product, half), shift);
}

// half_away(v / 2^n): the floor, plus one where the bits shifted out exceed half, or reach it and v is not negative.
__m512i half_away_32(__m512i v, __m512i n) {
  const __m512i one = _mm512_set1_epi32(1);
  const __m512i mask = _mm512_sub_epi32(_mm512_sllv_epi32(one, n), one);
  const __m512i threshold = _mm512_sub_epi32(_mm512_srli_epi32(mask, 1), _mm512_srai_epi32(v, 31));
  const __mmask16 above = _mm512_cmpgt_epi32_mask(_mm512_and_si512(v, mask), threshold);
  const __m512i floor = _mm512_srav_epi32(v, n);
  return _mm512_mask_add_epi32(floor, above, floor, one);
}

// half_up(v / 2^n): the floor, plus the last bit shifted out.
__m512i half_up_32(__m512i v, __m512i n) {
  const __m512i one = _mm512_set1_epi32(1), floor = _mm512_srav_epi32(v, n);
  const __m512i last = _mm512_and_si512(_mm512_srav_epi32(v, _mm512_sub_epi32(n, one)), one);
  return _mm512_mask_add_epi32(floor, _mm512_test_epi32_mask(n, n), floor, last);
}

template <MultiplierRule rule>
__m512i rescale_16(__m512i acc, const Parameters& by) {
  if constexpr (rule == MultiplierRule::single_rounding) {
    const __m512i even = _mm512_mul_epi32(acc, by.multiplier);
    const __m512i odd = _mm512_mul_epi32(_mm512_srli_epi64(acc, 32), _mm512_srli_epi64(by.multiplier, 32));
    return interleave(half_up_64(even, _mm512_and_si512(by.shift, _mm512_set1_epi64(0xFFFFFFFF))),
                      half_up_64(odd, _mm512_srli_epi64(by.shift, 32)));
  } else {
    const __m512i all = _mm512_set1_epi32(31), zero = _mm512_setzero_si512();
    const __m512i left = _mm512_max_epi32(_mm512_sub_epi32(all, by.shift), zero);
    const __m512i rest = _mm512_max_epi32(_mm512_sub_epi32(by.shift, all), zero);
    const __m512i high = high_mul(_mm512_sllv_epi32(acc, left), by.multiplier);
    return rule == MultiplierRule::ruy_x86 ? half_up_32(high, rest) : half_away_32(high, rest);
  }
}

template <MultiplierRule rule>
void run(const RequantizeMultiplierArgs& args) {
  const __m512i low = _mm512_set1_epi32(args.range.qmin), high = _mm512_set1_epi32(args.range.qmax);
  const __m512i zero_point = _mm512_set1_epi32(args.range.zero_point);
  Parameters by{.multiplier = _mm512_set1_epi32(args.multiplier[0]), .shift = _mm512_set1_epi32(args.shift[0])};
  for (int64_t r = 0; r < args.rows; ++r) {
    const int32_t* acc = args.acc + r * args.acc_stride;
    uint8_t* y = static_cast<uint8_t*>(args.y) + r * args.y_stride;
    for (int64_t c = 0; c < args.channels; c += 16) {
      const int64_t left = args.channels - c;
      const __mmask16 lanes = static_cast<__mmask16>(left >= 16 ? 0xFFFF : (1 << left) - 1);
      if (args.parameter_stride != 0) {
        by = {.multiplier = _mm512_maskz_loadu_epi32(lanes, args.multiplier + c),
              .shift = _mm512_maskz_loadu_epi32(lanes, args.shift + c)};
      }
      const __m512i rescaled = rescale_16<rule>(_mm512_maskz_loadu_epi32(lanes, acc + c), by);
      const __m512i q = _mm512_min_epi32(_mm512_max_epi32(_mm512_add_epi32(rescaled, zero_point), low), high);
      _mm_mask_storeu_epi8(y + c, lanes, _mm512_cvtepi32_epi8(q));  // the low byte: q is within the dtype
    }
  }
}

}  // namespace

void requantize_multiplier_avx512vnni(const RequantizeMultiplierArgs& args) {
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
