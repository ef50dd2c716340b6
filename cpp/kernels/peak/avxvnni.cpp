// SPDX-License-Identifier: Apache-2.0
// peak with AVX-VNNI: vpdpbusd. The instruction is spelled as such, or the compiler might combine some of them.
#include "kernels/intrinsics.h"
#include "kernels/peak/peak.h"

namespace q8 {

void peak_avxvnni(const PeakArgs& args) {
  constexpr int sums = 8;  // independent of each other; more do not fit 16 registers
  const __m256i ones = _mm256_set1_epi8(1);
  __m256i acc[sums] = {};
  for (int64_t i = 0; i < args.rounds * (macs_per_round / (sums * 32)); ++i) {
    for (int s = 0; s < sums; ++s) {
#if Q8EMU_EMULATE_VNNI
      acc[s] = _mm256_dpbusd_avx_epi32(acc[s], ones, ones);
#else
      __asm__ volatile("%{vex%} vpdpbusd %1, %1, %0" : "+x"(acc[s]) : "x"(ones));
#endif
    }
  }
  for (int s = 1; s < sums; ++s) acc[0] = _mm256_add_epi32(acc[0], acc[s]);
  const __m128i half = _mm_add_epi32(_mm256_castsi256_si128(acc[0]), _mm256_extracti128_si256(acc[0], 1));
  const __m128i pair = _mm_add_epi32(half, _mm_srli_si128(half, 8));
  *args.sum = _mm_cvtsi128_si32(_mm_add_epi32(pair, _mm_srli_si128(pair, 4)));
}

}  // namespace q8
