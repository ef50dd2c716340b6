// SPDX-License-Identifier: Apache-2.0
// The reference kernel of the family quantize, and the table of the family.
#include "kernels/lookup.h"
#include "kernels/quantize/quantize.h"
#include "kernels/with_type.h"

namespace q8 {
namespace {

#define Q8_KERNEL(symbol, isa) {isa, #symbol, symbol},
constexpr QuantizeKernel table[] = {
#include "kernels/quantize/kernels.inc"
};
#undef Q8_KERNEL

}  // namespace

void quantize_reference(const QuantizeArgs& args) {
  with_quantized_type(args.range.dtype, [&](auto type) {
    using Y = decltype(type);
    Y* y = static_cast<Y*>(args.y);
    QuantizedRange range = args.range;
    for (int64_t i = 0; i < args.count; ++i) {
      range.zero_point = args.zero_point[i * args.parameter_step];
      const float v = args.x[i] / args.scale[i * args.parameter_step];
      y[i] = static_cast<Y>(args.ties_away ? quantize_outside_away(v, range) : quantize_outside(v, range));
    }
  });
}

Q8_DEFINE_LOOKUP(quantize, QuantizeKernel)

}  // namespace q8
