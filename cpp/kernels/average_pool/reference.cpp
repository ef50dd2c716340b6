// SPDX-License-Identifier: Apache-2.0
// The reference kernel of the family average_pool, and the table of the family.
#include <algorithm>

#include "kernels/average_pool/average_pool.h"
#include "kernels/average_pool/taps.h"
#include "kernels/lookup.h"
#include "kernels/with_type.h"

namespace q8 {
namespace {

// sum[C] += one tap, where it is inside the image.
template <class Q>
void add_tap(const AveragePoolArgs& args, const WindowAt& at, int64_t kh, int64_t kw, float* sum) {
  const Window& window = *args.window;
  const int64_t row = at.row + kh * window.dilation_h, col = at.col + kw * window.dilation_w;
  if (!is_inside(row, window.h) || !is_inside(col, window.w)) return;
  const Q* x = static_cast<const Q*>(args.x) + ((at.n * window.h + row) * window.w + col) * window.c;
  for (int64_t c = 0; c < window.c; ++c) sum[c] += static_cast<float>(x[c] - args.x_zero_point) * args.x_scale;
}

// sum[C]: tap after tap, so that the order of the additions of each channel is the one of the definition.
template <class Q>
void add_rows(const AveragePoolArgs& args, const WindowAt& at, float* sum) {
  std::fill_n(sum, args.window->c, 0.0f);
  for (int64_t kh = 0; kh < args.window->kh; ++kh) {
    for (int64_t kw = 0; kw < args.window->kw; ++kw) add_tap<Q>(args, at, kh, kw, sum);
  }
}

// sum[C]: the taps of each column first; a column is kept behind sum.
template <class Q>
void add_columns(const AveragePoolArgs& args, const WindowAt& at, float* sum) {
  const int64_t channels = args.window->c;
  float* column = sum + channels;
  std::fill_n(sum, channels, 0.0f);
  for (int64_t kw = 0; kw < args.window->kw; ++kw) {
    std::fill_n(column, channels, 0.0f);
    for (int64_t kh = 0; kh < args.window->kh; ++kh) add_tap<Q>(args, at, kh, kw, column);
    for (int64_t c = 0; c < channels; ++c) sum[c] += column[c];
  }
}

int32_t quantized(float average, const AveragePoolArgs& args) {
  const float v = average / args.y_scale;
  if (args.form != AveragePoolForm::integer) return quantize_outside(v, args.range);
  return quantize_inside(v + static_cast<float>(args.range.zero_point), args.range);
}

#define Q8_KERNEL(symbol, isa) {isa, #symbol, symbol},
constexpr AveragePoolKernel table[] = {
#include "kernels/average_pool/kernels.inc"
};
#undef Q8_KERNEL

}  // namespace

void average_pool_reference(const AveragePoolArgs& args) {
  const Window& window = *args.window;
  with_quantized_type(args.range.dtype, [&](auto type) {
    using Q = decltype(type);
    for (int64_t pixel = args.pixel_begin; pixel < args.pixel_begin + args.pixel_count; ++pixel) {
      const WindowAt at = window_at(window, pixel);
      const float count = static_cast<float>(taps_counted(args, at));
      const auto add = args.form == AveragePoolForm::columns ? add_columns<Q> : add_rows<Q>;
      add(args, at, args.scratch);
      Q* y = static_cast<Q*>(args.y) + pixel * window.c;
      for (int64_t c = 0; c < window.c; ++c) y[c] = static_cast<Q>(quantized(args.scratch[c] / count, args));
    }
  });
}

Q8_DEFINE_LOOKUP(average_pool, AveragePoolKernel)

}  // namespace q8
