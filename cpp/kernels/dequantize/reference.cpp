// SPDX-License-Identifier: Apache-2.0
// The reference kernel of the family dequantize, and the table of the family.
#include "kernels/dequantize/dequantize.h"
#include "kernels/lookup.h"
#include "kernels/with_type.h"
#include "numerics/wrap.h"

namespace q8 {
namespace {

template <class X>
void run(const DequantizeArgs& args) {
  const X* x = static_cast<const X*>(args.x);
  for (int64_t i = 0; i < args.count; ++i) {
    const int64_t zero_point = args.zero_point == nullptr ? 0 : args.zero_point[i * args.parameter_step];
    const float scale = args.scale[i * args.parameter_step];
    if (args.is_affine) {
      args.y[i] = static_cast<float>(x[i]) * scale + static_cast<float>(-zero_point) * scale;
    } else {
      args.y[i] = static_cast<float>(wrap(x[i] - zero_point)) * scale;
    }
  }
}

#define Q8_KERNEL(symbol, isa) {isa, #symbol, symbol},
constexpr DequantizeKernel table[] = {
#include "kernels/dequantize/kernels.inc"
};
#undef Q8_KERNEL

}  // namespace

void dequantize_reference(const DequantizeArgs& args) {
  if (args.x_dtype == DType::s32) {
    run<int32_t>(args);
  } else {
    with_quantized_type(args.x_dtype, [&](auto x) { run<decltype(x)>(args); });
  }
}

Q8_DEFINE_LOOKUP(dequantize, DequantizeKernel)

}  // namespace q8
