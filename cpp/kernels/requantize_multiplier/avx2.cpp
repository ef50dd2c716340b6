// SPDX-License-Identifier: Apache-2.0
// requantize_multiplier with AVX2. Products have 64 bits, so even and odd lanes go separately and meet again.
#include <immintrin.h>

#include <cstring>

#include "kernels/requantize_multiplier/requantize_multiplier.h"

namespace q8 {
namespace {

struct Parameters {
  __m256i multiplier, shift;
};

__m256i load_8(const int32_t* from) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)); }

// The low halves of the 64-bit results, in the order of the 32-bit lanes.
__m256i interleave(__m256i even, __m256i odd) { return _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xAA); }

// half_up(x * multiplier / 2^31): of bits 31 to 62 of the sum, a logical shift gives the same as an arithmetic one.
__m256i high_mul(__m256i x, __m256i multiplier) {
  const __m256i half = _mm256_set1_epi64x(int64_t{1} << 30);
  const __m256i even = _mm256_mul_epi32(x, multiplier);
  const __m256i odd = _mm256_mul_epi32(_mm256_srli_epi64(x, 32), _mm256_srli_epi64(multiplier, 32));
  return interleave(_mm256_srli_epi64(_mm256_add_epi64(even, half), 31),
                    _mm256_srli_epi64(_mm256_add_epi64(odd, half), 31));
}

// half_up(product / 2^shift), low half. AVX2 has no arithmetic shift of 64-bit lanes: with the sign bit flipped a
// logical one does, and 2^(63 - shift) too much is taken off again.
__m256i half_up_64(__m256i product, __m256i shift) {
  const __m256i sign = _mm256_set1_epi64x(INT64_MIN), one = _mm256_set1_epi64x(1);
  const __m256i half = _mm256_sllv_epi64(one, _mm256_sub_epi64(shift, one));
  const __m256i flipped = _mm256_xor_si256(_mm256_add_epi64(product, half), sign);
  return _mm256_sub_epi64(_mm256_srlv_epi64(flipped, shift), _mm256_srlv_epi64(sign, shift));
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

template <MultiplierRule rule>
__m256i rescale_8(__m256i acc, const Parameters& by) {
  if constexpr (rule == MultiplierRule::single_rounding) {
    const __m256i low_half = _mm256_set1_epi64x(0xFFFFFFFF);
    const __m256i even = _mm256_mul_epi32(acc, by.multiplier);
    const __m256i odd = _mm256_mul_epi32(_mm256_srli_epi64(acc, 32), _mm256_srli_epi64(by.multiplier, 32));
    return interleave(half_up_64(even, _mm256_and_si256(by.shift, low_half)),
                      half_up_64(odd, _mm256_srli_epi64(by.shift, 32)));
  } else {
    const __m256i all = _mm256_set1_epi32(31), zero = _mm256_setzero_si256();
    const __m256i left = _mm256_max_epi32(_mm256_sub_epi32(all, by.shift), zero);
    const __m256i rest = _mm256_max_epi32(_mm256_sub_epi32(by.shift, all), zero);
    const __m256i high = high_mul(_mm256_sllv_epi32(acc, left), by.multiplier);
    return rule == MultiplierRule::ruy_x86 ? half_up_32(high, rest) : half_away_32(high, rest);
  }
}

// The low bytes of 8 values within the range of a byte, in order.
__m128i narrow(__m256i q) {
  const __m256i low_bytes = _mm256_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,  //
                                             0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
  const __m256i halves = _mm256_shuffle_epi8(q, low_bytes);
  return _mm_unpacklo_epi32(_mm256_castsi256_si128(halves), _mm256_extracti128_si256(halves, 1));
}

template <MultiplierRule rule>
__m128i requantize_8(__m256i acc, const Parameters& by, const QuantizedRange& range) {
  const __m256i q = _mm256_add_epi32(rescale_8<rule>(acc, by), _mm256_set1_epi32(range.zero_point));
  return narrow(_mm256_min_epi32(_mm256_max_epi32(q, _mm256_set1_epi32(range.qmin)), _mm256_set1_epi32(range.qmax)));
}

// Fewer than 8, by way of memory that is long enough.
template <MultiplierRule rule>
void requantize_rest(const RequantizeMultiplierArgs& args, const int32_t* acc, int64_t c, uint8_t* y) {
  int32_t rest[8] = {}, multiplier[8] = {}, shift[8] = {};
  for (int64_t i = 0; c + i < args.channels; ++i) {
    rest[i] = acc[c + i];
    multiplier[i] = args.multiplier[(c + i) * args.parameter_stride];
    shift[i] = args.shift[(c + i) * args.parameter_stride];
  }
  uint8_t bytes[16];
  const Parameters by{.multiplier = load_8(multiplier), .shift = load_8(shift)};
  _mm_storeu_si128(reinterpret_cast<__m128i*>(bytes), requantize_8<rule>(load_8(rest), by, args.range));
  std::memcpy(y + c, bytes, static_cast<size_t>(args.channels - c));
}

template <MultiplierRule rule>
void run(const RequantizeMultiplierArgs& args) {
  Parameters by{.multiplier = _mm256_set1_epi32(args.multiplier[0]), .shift = _mm256_set1_epi32(args.shift[0])};
  for (int64_t r = 0; r < args.rows; ++r) {
    const int32_t* acc = args.acc + r * args.acc_stride;
    uint8_t* y = static_cast<uint8_t*>(args.y) + r * args.y_stride;
    int64_t c = 0;
    for (; c + 8 <= args.channels; c += 8) {
      if (args.parameter_stride != 0) by = {.multiplier = load_8(args.multiplier + c), .shift = load_8(args.shift + c)};
      _mm_storel_epi64(reinterpret_cast<__m128i*>(y + c), requantize_8<rule>(load_8(acc + c), by, args.range));
    }
    if (c < args.channels) requantize_rest<rule>(args, acc, c, y);
  }
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
