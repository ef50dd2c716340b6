// SPDX-License-Identifier: Apache-2.0
// peak with AVX-512 VNNI: vpdpbusd. The instruction is spelled as such, or the compiler might combine some of them.
#include "kernels/intrinsics.h"
#include "kernels/peak/peak.h"

namespace q8 {

void peak_avx512vnni(const PeakArgs& args) {
  constexpr int sums = 16;  // independent of each other
  const __m512i ones = _mm512_set1_epi8(1);
  __m512i acc[sums];
  for (int s = 0; s < sums; ++s) acc[s] = _mm512_setzero_si512();
  for (int64_t i = 0; i < args.rounds * (macs_per_round / (sums * 64)); ++i) {
    for (int s = 0; s < sums; ++s) {
#if Q8EMU_EMULATE_VNNI
      acc[s] = _mm512_dpbusd_epi32(acc[s], ones, ones);
#else
      __asm__ volatile("vpdpbusd %1, %1, %0" : "+v"(acc[s]) : "v"(ones));
#endif
    }
  }
  for (int s = 1; s < sums; ++s) acc[0] = _mm512_add_epi32(acc[0], acc[s]);
  *args.sum = _mm512_reduce_add_epi32(acc[0]);
}

}  // namespace q8
