// SPDX-License-Identifier: Apache-2.0
// The reference kernel of the family softmax_fixed, and the table of the family.
#include <algorithm>
#include <bit>

#include "kernels/lookup.h"
#include "kernels/softmax_fixed/softmax_fixed.h"
#include "kernels/with_type.h"
#include "numerics/fixed_point.h"

namespace q8 {
namespace {

template <class X, class Y>
void run(const SoftmaxFixedArgs& args) {
  const X* x = static_cast<const X*>(args.x);
  Y* y = static_cast<Y*>(args.y);
  X maximum = x[0];
  for (int64_t d = 1; d < args.depth; ++d) maximum = std::max(maximum, x[d * args.stride]);
  const auto exponential = [&](int64_t d) { return args.table[255 + x[d * args.stride] - maximum]; };
  int64_t sum = 0;
  for (int64_t d = 0; d < args.depth; ++d) sum += half_away(exponential(d), 12);
  const int32_t headroom = std::countl_zero(static_cast<uint32_t>(sum));
  const int32_t reciprocal = one_over_one_plus(static_cast<int32_t>((sum << headroom) - (int64_t{1} << 31)));
  for (int64_t d = 0; d < args.depth; ++d) {
    const int64_t quotient = half_away(doubling_high_mul(reciprocal, exponential(d)), 35 - headroom);
    const int32_t q = static_cast<int32_t>(quotient) + dtype_min(args.range.dtype);
    y[d * args.stride] = static_cast<Y>(clamp(q, args.range.qmin, args.range.qmax));
  }
}

#define Q8_KERNEL(symbol, isa) {isa, #symbol, symbol},
constexpr SoftmaxFixedKernel table[] = {
#include "kernels/softmax_fixed/kernels.inc"
};
#undef Q8_KERNEL

}  // namespace

void softmax_fixed_reference(const SoftmaxFixedArgs& args) {
  with_quantized_type(args.x_dtype, [&](auto x) {
    with_quantized_type(args.range.dtype, [&](auto y) { run<decltype(x), decltype(y)>(args); });
  });
}

Q8_DEFINE_LOOKUP(softmax_fixed, SoftmaxFixedKernel)

}  // namespace q8
