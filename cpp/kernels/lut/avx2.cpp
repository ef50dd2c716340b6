// SPDX-License-Identifier: Apache-2.0
// lut with AVX2: vpshufb looks up the low four bits in each of the 16 rows of the table, and the four high bits choose
// among the rows, one bit after another.
#include <immintrin.h>

#include "kernels/lut/lut.h"

namespace q8 {
namespace {

// The upper of two values where bit 7 of the byte is set.
__m256i choose(__m256i bit, __m256i lower, __m256i upper) { return _mm256_blendv_epi8(lower, upper, bit); }

__m256i look_up(__m256i x, const __m256i* rows) {
  const __m256i low = _mm256_and_si256(x, _mm256_set1_epi8(15));
  // Bits 4, 5 and 6 at the place of bit 7; what moves in from the neighbour lies below.
  const __m256i bit4 = _mm256_slli_epi16(x, 3), bit5 = _mm256_slli_epi16(x, 2), bit6 = _mm256_slli_epi16(x, 1);
  const auto row = [&](int i) { return _mm256_shuffle_epi8(rows[i], low); };
  const auto two = [&](int i) { return choose(bit4, row(i), row(i + 1)); };
  const auto four = [&](int i) { return choose(bit5, two(i), two(i + 2)); };
  const auto eight = [&](int i) { return choose(bit6, four(i), four(i + 4)); };
  return choose(x, eight(0), eight(8));
}

}  // namespace

void lut_avx2(const LutArgs& args) {
  __m256i rows[16];
  for (int i = 0; i < 16; ++i) {
    rows[i] = _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(args.table + 16 * i)));
  }
  int64_t i = 0;
  for (; i + 32 <= args.count; i += 32) {
    const __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(args.x + i));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(args.y + i), look_up(x, rows));
  }
  for (; i < args.count; ++i) args.y[i] = args.table[args.x[i]];
}

}  // namespace q8
