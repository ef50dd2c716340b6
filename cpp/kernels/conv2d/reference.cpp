// SPDX-License-Identifier: Apache-2.0
// The reference kernel of the family conv2d, the definition in plain loops; and the table of the family.
#include "kernels/conv2d/conv2d.h"
#include "kernels/lookup.h"
#include "kernels/with_type.h"
#include "numerics/accumulator.h"

namespace q8 {
namespace {

// The accumulator of output channel o under the window at `at`; x begins at the first channel of the group.
template <class X, class W>
int32_t accumulate(const Conv2dArgs& args, const WindowAt& at, int64_t o) {
  const Window& window = args.shape->window;
  const int64_t channels = window.c / args.shape->group;
  const X* x = static_cast<const X*>(args.x) + args.group * channels;
  const W* w = static_cast<const W*>(args.w) + o * window.kh * window.kw * channels;
  const int32_t bits = args.saturated_bits;
  int32_t acc = accumulated(args.bias[o], 0, bits);
  for (int64_t kh = 0; kh < window.kh; ++kh) {
    const int64_t row = at.row + kh * window.dilation_h;
    if (!is_inside(row, window.h)) continue;
    for (int64_t kw = 0; kw < window.kw; ++kw) {
      const int64_t col = at.col + kw * window.dilation_w;
      if (!is_inside(col, window.w)) continue;
      const X* x_tap = x + ((at.n * window.h + row) * window.w + col) * window.c;
      const W* w_tap = w + (kh * window.kw + kw) * channels;
      for (int64_t c = 0; c < channels; ++c) {
        const int64_t product = (x_tap[c] - args.x_zero_point) * (w_tap[c] - args.w_zero_point[o]);
        acc = accumulated(acc, product, bits);
      }
    }
  }
  return acc;
}

template <class X, class W>
void run(const Conv2dArgs& args) {
  const int64_t first_channel = args.group * (args.shape->o / args.shape->group) + args.channel_begin;
  for (int64_t p = 0; p < args.pixel_count; ++p) {
    const WindowAt at = window_at(args.shape->window, args.pixel_begin + p);
    for (int64_t i = 0; i < args.channel_count; ++i) {
      args.acc[p * args.acc_stride + i] = accumulate<X, W>(args, at, first_channel + i);
    }
  }
}

#define Q8_KERNEL(symbol, isa) {isa, #symbol, symbol##_packed_bytes, symbol##_pack, symbol##_scratch_bytes, symbol},
constexpr Conv2dKernel table[] = {
#include "kernels/conv2d/kernels.inc"
};
#undef Q8_KERNEL

}  // namespace

size_t conv2d_reference_packed_bytes(const Conv2dShape&) { return 0; }

void conv2d_reference_pack(const Conv2dShape&, const void*, const int32_t*, void*) {}

size_t conv2d_reference_scratch_bytes(const Conv2dShape&, int64_t) { return 0; }

void conv2d_reference(const Conv2dArgs& args) {
  with_quantized_type(args.shape->x_dtype, [&](auto x) {
    with_quantized_type(args.shape->w_dtype, [&](auto w) { run<decltype(x), decltype(w)>(args); });
  });
}

Q8_DEFINE_LOOKUP(conv2d, Conv2dKernel)

}  // namespace q8
