// SPDX-License-Identifier: Apache-2.0
// Two vectors of bytes, 8 elements at a time, with AVX2: what the kernels of element-wise families share. Internal
// linkage.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

#include "base/dtype.h"

namespace q8 {
namespace {

// A vector of either dtype; a step of 0 repeats one element. An int8 with its sign bit flipped is 128 more as uint8.
struct Operand {
  const uint8_t* from;
  int64_t step;
  __m128i flip;
  __m256i less;  // the zero point, and 128
};

Operand make_operand(const void* values, int64_t step, DType dtype, int32_t zero_point) {
  const int32_t bias = dtype == DType::s8 ? 0x80 : 0;
  return {.from = static_cast<const uint8_t*>(values),
          .step = step,
          .flip = _mm_set1_epi8(static_cast<char>(bias)),
          .less = _mm256_set1_epi32(bias + zero_point)};
}

__m256i centred(__m128i bytes, const Operand& x) {
  return _mm256_sub_epi32(_mm256_cvtepu8_epi32(_mm_xor_si128(bytes, x.flip)), x.less);
}

// x - zero_point of the 8 elements at `at`.
__m256i load_centred(const Operand& x, int64_t at) {
  return centred(x.step == 0 ? _mm_set1_epi8(static_cast<char>(x.from[0]))
                             : _mm_loadl_epi64(reinterpret_cast<const __m128i*>(x.from + at)),
                 x);
}

// The low bytes of 8 values within the range of a byte, in order.
__m128i low_bytes(__m256i q) {
  const __m256i bytes = _mm256_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,  //
                                         0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
  const __m256i halves = _mm256_shuffle_epi8(q, bytes);
  return _mm_unpacklo_epi32(_mm256_castsi256_si128(halves), _mm256_extracti128_si256(halves, 1));
}

// 8 results as bytes or as int32.
[[maybe_unused]] void store_8(uint8_t* to, __m256i values) {
  _mm_storel_epi64(reinterpret_cast<__m128i*>(to), low_bytes(values));
}
[[maybe_unused]] void store_8(int32_t* to, __m256i values) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), values);
}

// y[i] = function(a - a_zero_point, b - b_zero_point) for 8 elements at a time; the last ones by way of memory that is
// long enough.
template <class Y, class Function>
void for_each_8(const Operand& a, const Operand& b, int64_t count, Y* y, const Function& function) {
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) store_8(y + i, function(load_centred(a, i), load_centred(b, i)));
  if (i == count) return;
  const size_t left = static_cast<size_t>(count - i);
  uint8_t bytes[2][8] = {};
  Operand rest[] = {a, b};
  for (int operand = 0; operand < 2; ++operand) {
    if (rest[operand].step == 0) continue;
    std::memcpy(bytes[operand], rest[operand].from + i, left);
    rest[operand].from = bytes[operand];
  }
  Y values[8];
  store_8(values, function(load_centred(rest[0], 0), load_centred(rest[1], 0)));
  std::memcpy(y + i, values, left * sizeof(Y));
}

}  // namespace
}  // namespace q8
