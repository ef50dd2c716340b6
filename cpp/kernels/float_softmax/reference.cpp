// SPDX-License-Identifier: Apache-2.0
// The reference kernel of the family float_softmax, and the table of the family.
#include <algorithm>

#include "kernels/float_softmax/float_softmax.h"
#include "kernels/lookup.h"
#include "kernels/with_type.h"
#include "numerics/exponential.h"

namespace q8 {
namespace {

template <class X, class Y>
void run(const FloatSoftmaxArgs& args) {
  const X* x = static_cast<const X*>(args.x);
  Y* y = static_cast<Y*>(args.y);
  X maximum = x[0];
  for (int64_t d = 1; d < args.depth; ++d) maximum = std::max(maximum, x[d * args.stride]);
  const auto dequantized = [&](X q) { return static_cast<float>(q - args.x_zero_point) * args.x_scale; };
  const float largest = dequantized(maximum);
  const auto element = [&](int64_t d) { return exponential(dequantized(x[d * args.stride]) - largest); };
  float lanes[8] = {};
  for (int64_t d = 0; d < args.depth; ++d) lanes[d % 8] += element(d);
  const float low = (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
  const float high = (lanes[4] + lanes[5]) + (lanes[6] + lanes[7]);
  const float reciprocal = 1.0f / (high + low);
  for (int64_t d = 0; d < args.depth; ++d) {
    y[d * args.stride] = static_cast<Y>(quantize_outside(element(d) * reciprocal / args.y_scale, args.range));
  }
}

#define Q8_KERNEL(symbol, isa) {isa, #symbol, symbol},
constexpr FloatSoftmaxKernel table[] = {
#include "kernels/float_softmax/kernels.inc"
};
#undef Q8_KERNEL

}  // namespace

void float_softmax_reference(const FloatSoftmaxArgs& args) {
  with_quantized_type(args.x_dtype, [&](auto x) {
    with_quantized_type(args.range.dtype, [&](auto y) { run<decltype(x), decltype(y)>(args); });
  });
}

Q8_DEFINE_LOOKUP(float_softmax, FloatSoftmaxKernel)

}  // namespace q8
