// SPDX-License-Identifier: Apache-2.0
// The reference kernel of the family lut, and the table of the family.
#include "kernels/lookup.h"
#include "kernels/lut/lut.h"

namespace q8 {
namespace {

#define Q8_KERNEL(symbol, isa) {isa, #symbol, symbol},
constexpr LutKernel table[] = {
#include "kernels/lut/kernels.inc"
};
#undef Q8_KERNEL

}  // namespace

void lut_reference(const LutArgs& args) {
  for (int64_t i = 0; i < args.count; ++i) args.y[i] = args.table[args.x[i]];
}

Q8_DEFINE_LOOKUP(lut, LutKernel)

}  // namespace q8
