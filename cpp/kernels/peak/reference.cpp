// SPDX-License-Identifier: Apache-2.0
// The reference kernel of the family peak: what the compiler makes of a plain loop; and the table of the family.
#include "kernels/lookup.h"
#include "kernels/peak/peak.h"

namespace q8 {
namespace {

#define Q8_KERNEL(symbol, isa) {isa, #symbol, symbol},
constexpr PeakKernel table[] = {
#include "kernels/peak/kernels.inc"
};
#undef Q8_KERNEL

}  // namespace

void peak_reference(const PeakArgs& args) {
  constexpr int64_t length = 256;
  volatile int8_t one = 1;  // not known to the compiler
  int8_t x[length], w[length];
  for (int64_t i = 0; i < length; ++i) x[i] = w[i] = one;
  uint32_t sum = 0;
  for (int64_t r = 0; r < args.rounds * (macs_per_round / length); ++r) {
    x[r % length] = one;
    for (int64_t i = 0; i < length; ++i) sum += static_cast<uint32_t>(x[i] * w[i]);
  }
  *args.sum = static_cast<int32_t>(sum);
}

Q8_DEFINE_LOOKUP(peak, PeakKernel)

}  // namespace q8
