// SPDX-License-Identifier: Apache-2.0
// The reference kernel of the family add_rescaled, and the table of the family.
#include "kernels/add_rescaled/add_rescaled.h"
#include "kernels/lookup.h"
#include "numerics/wrap.h"

namespace q8 {
namespace {

#define Q8_KERNEL(symbol, isa) {isa, #symbol, symbol},
constexpr AddRescaledKernel table[] = {
#include "kernels/add_rescaled/kernels.inc"
};
#undef Q8_KERNEL

}  // namespace

void add_rescaled_reference(const AddRescaledArgs& args) {
  for (int64_t i = 0; i < args.count; ++i) {
    args.acc[i] = wrap(int64_t{args.a_rescaled[args.a[i * args.a_step]]} + args.b_rescaled[args.b[i * args.b_step]]);
  }
}

Q8_DEFINE_LOOKUP(add_rescaled, AddRescaledKernel)

}  // namespace q8
