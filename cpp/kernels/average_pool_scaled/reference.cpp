// SPDX-License-Identifier: Apache-2.0
// The reference kernel of the family average_pool_scaled, and the table of the family.
#include <algorithm>
#include <cmath>

#include "kernels/average_pool_scaled/average_pool_scaled.h"
#include "kernels/lookup.h"
#include "kernels/with_type.h"

namespace q8 {
namespace {

// sum[C] of x - x_zero_point over the taps inside the image
template <class Q>
void add_taps(const AveragePoolScaledArgs& args, const WindowAt& at, int64_t* sum) {
  const Window& window = *args.window;
  std::fill_n(sum, window.c, 0);
  for (int64_t kh = 0; kh < window.kh; ++kh) {
    const int64_t row = at.row + kh * window.dilation_h;
    if (!is_inside(row, window.h)) continue;
    for (int64_t kw = 0; kw < window.kw; ++kw) {
      const int64_t col = at.col + kw * window.dilation_w;
      if (!is_inside(col, window.w)) continue;
      const Q* x = static_cast<const Q*>(args.x) + ((at.n * window.h + row) * window.w + col) * window.c;
      for (int64_t c = 0; c < window.c; ++c) sum[c] += x[c] - args.x_zero_point;
    }
  }
}

int32_t average(float sum, const AveragePoolScaledArgs& args, AverageRule rule) {
  const float zero_point = static_cast<float>(args.range.zero_point);
  switch (rule) {
    case AverageRule::outside:
      return quantize_outside(sum * args.factor, args.range);
    case AverageRule::inside:
      return quantize_inside(sum * args.factor + zero_point, args.range);
    case AverageRule::fused:
      break;
  }
  return quantize_inside(std::fma(sum, args.factor, zero_point), args.range);
}

#define Q8_KERNEL(symbol, isa) {isa, #symbol, symbol},
constexpr AveragePoolScaledKernel table[] = {
#include "kernels/average_pool_scaled/kernels.inc"
};
#undef Q8_KERNEL

}  // namespace

void average_pool_scaled_reference(const AveragePoolScaledArgs& args) {
  const Window& window = *args.window;
  with_quantized_type(args.range.dtype, [&](auto type) {
    using Q = decltype(type);
    for (int64_t pixel = args.pixel_begin; pixel < args.pixel_begin + args.pixel_count; ++pixel) {
      add_taps<Q>(args, window_at(window, pixel), args.scratch);
      Q* y = static_cast<Q*>(args.y) + pixel * window.c;
      for (int64_t c = 0; c < window.c; ++c) {
        const AverageRule rule = c < args.inside_from ? args.rule : AverageRule::inside;
        y[c] = static_cast<Q>(average(static_cast<float>(args.scratch[c]), args, rule));
      }
    }
  });
}

Q8_DEFINE_LOOKUP(average_pool_scaled, AveragePoolScaledKernel)

}  // namespace q8
