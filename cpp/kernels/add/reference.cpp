// SPDX-License-Identifier: Apache-2.0
// The reference kernel of the family add, and the table of the family.
#include <cmath>

#include "kernels/add/add.h"
#include "kernels/lookup.h"
#include "kernels/with_type.h"

namespace q8 {
namespace {

#define Q8_KERNEL(symbol, isa) {isa, #symbol, symbol},
constexpr AddKernel table[] = {
#include "kernels/add/kernels.inc"
};
#undef Q8_KERNEL

}  // namespace

void add_reference(const AddArgs& args) {
  with_quantized_type(args.range.dtype, [&](auto type) {
    using Q = decltype(type);
    const Q* a = static_cast<const Q*>(args.a);
    const Q* b = static_cast<const Q*>(args.b);
    Q* y = static_cast<Q*>(args.y);
    for (int64_t i = 0; i < args.count; ++i) {
      const float inner = std::fmaf(static_cast<float>(b[i * args.b_step]), args.b_ratio, args.fixed);
      const float v = std::fmaf(static_cast<float>(a[i * args.a_step]), args.a_ratio, inner);
      y[i] = static_cast<Q>(quantize_inside(v, args.range));
    }
  });
}

Q8_DEFINE_LOOKUP(add, AddKernel)

}  // namespace q8
