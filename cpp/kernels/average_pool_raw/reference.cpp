// SPDX-License-Identifier: Apache-2.0
// The reference kernel of the family average_pool_raw, and the table of the family.
#include <algorithm>

#include "kernels/average_pool_raw/average_pool_raw.h"
#include "kernels/lookup.h"
#include "kernels/with_type.h"
#include "numerics/multiplier.h"

namespace q8 {
namespace {

// sum[C] over the taps inside the image; returns their count.
template <class Q>
int64_t add_taps(const AveragePoolRawArgs& args, const WindowAt& at, int64_t* sum) {
  const Window& window = *args.window;
  std::fill_n(sum, window.c, 0);
  int64_t count = 0;
  for (int64_t kh = 0; kh < window.kh; ++kh) {
    const int64_t row = at.row + kh * window.dilation_h;
    if (!is_inside(row, window.h)) continue;
    for (int64_t kw = 0; kw < window.kw; ++kw) {
      const int64_t col = at.col + kw * window.dilation_w;
      if (!is_inside(col, window.w)) continue;
      const Q* x = static_cast<const Q*>(args.x) + ((at.n * window.h + row) * window.w + col) * window.c;
      for (int64_t c = 0; c < window.c; ++c) sum[c] += x[c];
      ++count;
    }
  }
  return count;
}

#define Q8_KERNEL(symbol, isa) {isa, #symbol, symbol},
constexpr AveragePoolRawKernel table[] = {
#include "kernels/average_pool_raw/kernels.inc"
};
#undef Q8_KERNEL

}  // namespace

void average_pool_raw_reference(const AveragePoolRawArgs& args) {
  const Window& window = *args.window;
  with_quantized_type(args.range.dtype, [&](auto type) {
    using Q = decltype(type);
    for (int64_t pixel = args.pixel_begin; pixel < args.pixel_begin + args.pixel_count; ++pixel) {
      const int64_t count = add_taps<Q>(args, window_at(window, pixel), args.scratch);
      Q* y = static_cast<Q*>(args.y) + pixel * window.c;
      for (int64_t c = 0; c < window.c; ++c) {
        const int64_t centred = args.scratch[c] - count * args.range.zero_point;
        const int64_t mean =
            args.division == Division::half_away ? half_away_quotient(centred, count) : centred / count;
        y[c] = static_cast<Q>(with_zero_point(static_cast<int32_t>(mean), args.range));
      }
    }
  });
}

Q8_DEFINE_LOOKUP(average_pool_raw, AveragePoolRawKernel)

}  // namespace q8
