// SPDX-License-Identifier: Apache-2.0
// The reference kernel of the family softmax, and the table of the family.
#include <algorithm>

#include "kernels/lookup.h"
#include "kernels/softmax/softmax.h"
#include "kernels/with_type.h"

namespace q8 {
namespace {

template <class X, class Y>
void run(const SoftmaxArgs& args) {
  const X* x = static_cast<const X*>(args.x);
  Y* y = static_cast<Y*>(args.y);
  X maximum = x[0];
  for (int64_t d = 1; d < args.depth; ++d) maximum = std::max(maximum, x[d * args.stride]);
  const auto exponential = [&](int64_t d) { return args.table[255 + x[d * args.stride] - maximum]; };
  float sum = 0.0f;
  for (int64_t d = 0; d < args.depth; ++d) sum += exponential(d);
  for (int64_t d = 0; d < args.depth; ++d) {
    const double v = double{exponential(d)} * double{args.numerator} / double{sum};
    y[d * args.stride] = static_cast<Y>(quantize_outside_f64(v, args.range));
  }
}

#define Q8_KERNEL(symbol, isa) {isa, #symbol, symbol},
constexpr SoftmaxKernel table[] = {
#include "kernels/softmax/kernels.inc"
};
#undef Q8_KERNEL

}  // namespace

void softmax_reference(const SoftmaxArgs& args) {
  with_quantized_type(args.x_dtype, [&](auto x) {
    with_quantized_type(args.range.dtype, [&](auto y) { run<decltype(x), decltype(y)>(args); });
  });
}

Q8_DEFINE_LOOKUP(softmax, SoftmaxKernel)

}  // namespace q8
