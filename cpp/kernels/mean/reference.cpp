// SPDX-License-Identifier: Apache-2.0
// The reference kernel of the family mean, and the table of the family.
#include <algorithm>

#include "kernels/lookup.h"
#include "kernels/mean/mean.h"
#include "kernels/with_type.h"
#include "numerics/wrap.h"

namespace q8 {
namespace {

#define Q8_KERNEL(symbol, isa) {isa, #symbol, symbol},
constexpr MeanKernel table[] = {
#include "kernels/mean/kernels.inc"
};
#undef Q8_KERNEL

}  // namespace

void mean_reference(const MeanArgs& args) {
  std::fill_n(args.acc, args.count, 0);
  with_quantized_type(args.x_dtype, [&](auto type) {
    using X = decltype(type);
    for (int64_t r = 0; r < args.rows; ++r) {
      const X* x = static_cast<const X*>(args.x) + r * args.x_stride;
      for (int64_t b = 0; b < args.count; ++b) args.acc[b] = wrap(int64_t{args.acc[b]} + x[b] - args.x_zero_point);
    }
  });
}

Q8_DEFINE_LOOKUP(mean, MeanKernel)

}  // namespace q8
