// SPDX-License-Identifier: Apache-2.0
// peak with the dot products of ARMv8.2: sdot. The instruction is spelled as such, or the compiler might combine some
// of them.
#include <arm_neon.h>

#include "kernels/peak/peak.h"

namespace q8 {

void peak_dotprod(const PeakArgs& args) {
  constexpr int sums = 16;  // independent of each other
  const int8x16_t ones = vdupq_n_s8(1);
  int32x4_t acc[sums];
  for (int s = 0; s < sums; ++s) acc[s] = vdupq_n_s32(0);
  for (int64_t i = 0; i < args.rounds * (macs_per_round / (sums * 16)); ++i) {
    for (int s = 0; s < sums; ++s) __asm__ volatile("sdot %0.4s, %1.16b, %1.16b" : "+w"(acc[s]) : "w"(ones));
  }
  for (int s = 1; s < sums; ++s) acc[0] = vaddq_s32(acc[0], acc[s]);
  *args.sum = vaddvq_s32(acc[0]);
}

}  // namespace q8
