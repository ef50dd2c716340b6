// SPDX-License-Identifier: Apache-2.0
// The reference kernel of the family softmax_reciprocal, and the table of the family.
#include <algorithm>
#include <cmath>

#include "kernels/lookup.h"
#include "kernels/softmax_reciprocal/softmax_reciprocal.h"
#include "kernels/with_type.h"

namespace q8 {
namespace {

template <class X, class Y>
void run(const SoftmaxReciprocalArgs& args) {
  const X* x = static_cast<const X*>(args.x);
  Y* y = static_cast<Y*>(args.y);
  X maximum = x[0];
  for (int64_t d = 1; d < args.depth; ++d) maximum = std::max(maximum, x[d * args.stride]);
  const auto exponential = [&](int64_t d) { return args.table[255 + x[d * args.stride] - maximum]; };
  float sum = 0.0f;
  for (int64_t d = 0; d < args.depth; ++d) sum += exponential(d);
  const float reciprocal = 1.0f / (sum * 0x1p-8f);
  for (int64_t d = 0; d < args.depth; ++d) {
    const double v = static_cast<double>(exponential(d) * reciprocal);
    const int32_t q = static_cast<int32_t>(std::floor(v + 0.5)) + dtype_min(args.range.dtype);
    y[d * args.stride] = static_cast<Y>(clamp(q, args.range.qmin, args.range.qmax));
  }
}

#define Q8_KERNEL(symbol, isa) {isa, #symbol, symbol},
constexpr SoftmaxReciprocalKernel table[] = {
#include "kernels/softmax_reciprocal/kernels.inc"
};
#undef Q8_KERNEL

}  // namespace

void softmax_reciprocal_reference(const SoftmaxReciprocalArgs& args) {
  with_quantized_type(args.x_dtype, [&](auto x) {
    with_quantized_type(args.range.dtype, [&](auto y) { run<decltype(x), decltype(y)>(args); });
  });
}

Q8_DEFINE_LOOKUP(softmax_reciprocal, SoftmaxReciprocalKernel)

}  // namespace q8
