// SPDX-License-Identifier: Apache-2.0
// The reference kernel of the family requantize_converted, and the table of the family.
#include <cmath>

#include "kernels/lookup.h"
#include "kernels/requantize_converted/requantize_converted.h"
#include "kernels/with_type.h"

namespace q8 {
namespace {

#define Q8_KERNEL(symbol, isa) {isa, #symbol, symbol},
constexpr RequantizeConvertedKernel table[] = {
#include "kernels/requantize_converted/kernels.inc"
};
#undef Q8_KERNEL

}  // namespace

void requantize_converted_reference(const RequantizeConvertedArgs& args) {
  with_quantized_type(args.range.dtype, [&](auto type) {
    using Y = decltype(type);
    for (int64_t r = 0; r < args.rows; ++r) {
      const int32_t* acc = args.acc + r * args.acc_stride;
      Y* y = static_cast<Y*>(args.y) + r * args.y_stride;
      for (int64_t c = 0; c < args.channels; ++c) {
        const int64_t p = c * args.parameter_stride;
        float sum = static_cast<float>(acc[c]);
        if (args.bias != nullptr) sum = std::fmaf(args.bias[p], args.bias_scale, sum);
        y[c] = static_cast<Y>(quantize_converted(sum * args.scale[p], args.range));
      }
    }
  });
}

Q8_DEFINE_LOOKUP(requantize_converted, RequantizeConvertedKernel)

}  // namespace q8
