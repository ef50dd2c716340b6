// SPDX-License-Identifier: Apache-2.0
// The reference kernel of the family multiply, and the table of the family.
#include "kernels/lookup.h"
#include "kernels/multiply/multiply.h"
#include "kernels/with_type.h"

namespace q8 {
namespace {

template <class A, class B>
void run(const MultiplyArgs& args) {
  const A* a = static_cast<const A*>(args.a);
  const B* b = static_cast<const B*>(args.b);
  for (int64_t i = 0; i < args.count; ++i) {
    args.acc[i] = (a[i * args.a_step] - args.a_zero_point) * (b[i * args.b_step] - args.b_zero_point);
  }
}

#define Q8_KERNEL(symbol, isa) {isa, #symbol, symbol},
constexpr MultiplyKernel table[] = {
#include "kernels/multiply/kernels.inc"
};
#undef Q8_KERNEL

}  // namespace

void multiply_reference(const MultiplyArgs& args) {
  with_quantized_type(args.a_dtype, [&](auto a) {
    with_quantized_type(args.b_dtype, [&](auto b) { run<decltype(a), decltype(b)>(args); });
  });
}

Q8_DEFINE_LOOKUP(multiply, MultiplyKernel)

}  // namespace q8
