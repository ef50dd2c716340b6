// SPDX-License-Identifier: Apache-2.0
// The reference kernel of the family requantize_float64, and the table of the family.
#include "kernels/lookup.h"
#include "kernels/requantize_float64/requantize_float64.h"
#include "kernels/with_type.h"

namespace q8 {
namespace {

#define Q8_KERNEL(symbol, isa) {isa, #symbol, symbol},
constexpr RequantizeFloat64Kernel table[] = {
#include "kernels/requantize_float64/kernels.inc"
};
#undef Q8_KERNEL

}  // namespace

void requantize_float64_reference(const RequantizeFloat64Args& args) {
  with_quantized_type(args.range.dtype, [&](auto type) {
    using Y = decltype(type);
    for (int64_t r = 0; r < args.rows; ++r) {
      const int32_t* acc = args.acc + r * args.acc_stride;
      Y* y = static_cast<Y*>(args.y) + r * args.y_stride;
      for (int64_t c = 0; c < args.channels; ++c) {
        y[c] = static_cast<Y>(requantize_float64(acc[c], args.scale[c * args.scale_stride], args.range));
      }
    }
  });
}

Q8_DEFINE_LOOKUP(requantize_float64, RequantizeFloat64Kernel)

}  // namespace q8
