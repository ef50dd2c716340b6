// SPDX-License-Identifier: Apache-2.0
// The reference kernel of the family max_pool, and the table of the family.
#include <algorithm>
#include <limits>

#include "kernels/lookup.h"
#include "kernels/max_pool/max_pool.h"
#include "kernels/with_type.h"

namespace q8 {
namespace {

template <class Q>
void run_pixel(const MaxPoolArgs& args, int64_t pixel) {
  const Window& window = *args.window;
  const WindowAt at = window_at(window, pixel);
  Q* y = static_cast<Q*>(args.y) + pixel * window.c;
  std::fill_n(y, window.c, std::numeric_limits<Q>::min());
  for (int64_t kh = 0; kh < window.kh; ++kh) {
    const int64_t row = at.row + kh * window.dilation_h;
    if (!is_inside(row, window.h)) continue;
    for (int64_t kw = 0; kw < window.kw; ++kw) {
      const int64_t col = at.col + kw * window.dilation_w;
      if (!is_inside(col, window.w)) continue;
      const Q* x = static_cast<const Q*>(args.x) + ((at.n * window.h + row) * window.w + col) * window.c;
      for (int64_t c = 0; c < window.c; ++c) y[c] = std::max(y[c], x[c]);
    }
  }
}

#define Q8_KERNEL(symbol, isa) {isa, #symbol, symbol},
constexpr MaxPoolKernel table[] = {
#include "kernels/max_pool/kernels.inc"
};
#undef Q8_KERNEL

}  // namespace

void max_pool_reference(const MaxPoolArgs& args) {
  with_quantized_type(args.dtype, [&](auto type) {
    for (int64_t i = 0; i < args.pixel_count; ++i) run_pixel<decltype(type)>(args, args.pixel_begin + i);
  });
}

Q8_DEFINE_LOOKUP(max_pool, MaxPoolKernel)

}  // namespace q8
