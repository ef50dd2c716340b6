// SPDX-License-Identifier: Apache-2.0
// The reference kernel of the family requantize_staged, and the table of the family.
#include "kernels/lookup.h"
#include "kernels/requantize_staged/requantize_staged.h"
#include "kernels/with_type.h"

namespace q8 {
namespace {

#define Q8_KERNEL(symbol, isa) {isa, #symbol, symbol},
constexpr RequantizeStagedKernel table[] = {
#include "kernels/requantize_staged/kernels.inc"
};
#undef Q8_KERNEL

}  // namespace

void requantize_staged_reference(const RequantizeStagedArgs& args) {
  with_quantized_type(args.range.dtype, [&](auto type) {
    using Y = decltype(type);
    for (int64_t r = 0; r < args.rows; ++r) {
      const int32_t* acc = args.acc + r * args.acc_stride;
      Y* y = static_cast<Y*>(args.y) + r * args.y_stride;
      for (int64_t c = 0; c < args.channels; ++c) {
        const int64_t at = c * args.parameter_stride;
        y[c] = static_cast<Y>(requantize_staged(acc[c], args.rule, args.multiplier[at], args.shift[at], args.range));
      }
    }
  });
}

Q8_DEFINE_LOOKUP(requantize_staged, RequantizeStagedKernel)

}  // namespace q8
