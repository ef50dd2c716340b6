// SPDX-License-Identifier: Apache-2.0
// peak with AVX2: vpmaddwd and vpaddd. The instruction is spelled as such, or the compiler would take it out of the
// loop: its operands do not change.
#include <immintrin.h>

#include "kernels/peak/peak.h"

namespace q8 {

void peak_avx2(const PeakArgs& args) {
  constexpr int sums = 8;  // independent of each other
  const __m256i ones = _mm256_set1_epi16(1);
  __m256i acc[sums] = {};
  for (int64_t i = 0; i < args.rounds * (macs_per_round / (sums * 16)); ++i) {
    for (int s = 0; s < sums; ++s) {
      __m256i products;
      __asm__ volatile("vpmaddwd %1, %1, %0" : "=x"(products) : "x"(ones));
      acc[s] = _mm256_add_epi32(acc[s], products);
    }
  }
  for (int s = 1; s < sums; ++s) acc[0] = _mm256_add_epi32(acc[0], acc[s]);
  const __m128i half = _mm_add_epi32(_mm256_castsi256_si128(acc[0]), _mm256_extracti128_si256(acc[0], 1));
  const __m128i pair = _mm_add_epi32(half, _mm_srli_si128(half, 8));
  *args.sum = _mm_cvtsi128_si32(_mm_add_epi32(pair, _mm_srli_si128(pair, 4)));
}

}  // namespace q8
