// SPDX-License-Identifier: Apache-2.0
// The reference kernel of the family quantize, and the table of the family.
#include <cmath>

#include "kernels/lookup.h"
#include "kernels/quantize/quantize.h"
#include "kernels/with_type.h"

namespace q8 {
namespace {

int32_t quantized(float x, float scale, QuantizeRule rule, const QuantizedRange& range) {
  switch (rule) {
    case QuantizeRule::half_even:
      return quantize_outside(x / scale, range);
    case QuantizeRule::half_away:
      return quantize_outside_away(x / scale, range);
    case QuantizeRule::half_even_reciprocal:
      return quantize_outside(x * (1.0f / scale), range);
    case QuantizeRule::half_even_fused:
      return quantize_inside_saturating(std::fma(x, 1.0f / scale, static_cast<float>(range.zero_point)), range);
    default:
      return quantize_outside_away(static_cast<double>(x) / static_cast<double>(scale), range);
  }
}

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
      y[i] = static_cast<Y>(quantized(args.x[i], args.scale[i * args.parameter_step], args.rule, range));
    }
  });
}

Q8_DEFINE_LOOKUP(quantize, QuantizeKernel)

}  // namespace q8
