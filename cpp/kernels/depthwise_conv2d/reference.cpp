// SPDX-License-Identifier: Apache-2.0
// The reference kernel of the family depthwise_conv2d, the definition in plain loops; and the table of the family.
#include "kernels/depthwise_conv2d/depthwise_conv2d.h"
#include "kernels/lookup.h"
#include "kernels/with_type.h"
#include "numerics/accumulator.h"

namespace q8 {
namespace {

template <class X, class W>
int32_t accumulate(const DepthwiseConv2dArgs& args, const WindowAt& at, int64_t o) {
  const Window& window = args.shape->window;
  const int64_t multiplier = args.shape->o / window.c;  // output channels per input channel
  const X* x = static_cast<const X*>(args.x) + o / multiplier;
  const W* w = static_cast<const W*>(args.w) + o * window.kh * window.kw;
  const int32_t bits = args.saturated_bits;
  int32_t acc = accumulated(args.bias[o], 0, bits);
  for (int64_t kh = 0; kh < window.kh; ++kh) {
    const int64_t row = at.row + kh * window.dilation_h;
    if (!is_inside(row, window.h)) continue;
    for (int64_t kw = 0; kw < window.kw; ++kw) {
      const int64_t col = at.col + kw * window.dilation_w;
      if (!is_inside(col, window.w)) continue;
      const int64_t x_centred = x[((at.n * window.h + row) * window.w + col) * window.c] - args.x_zero_point;
      acc = accumulated(acc, x_centred * (w[kh * window.kw + kw] - args.w_zero_point[o]), bits);
    }
  }
  return acc;
}

template <class X, class W>
void run(const DepthwiseConv2dArgs& args) {
  for (int64_t p = 0; p < args.pixel_count; ++p) {
    const WindowAt at = window_at(args.shape->window, args.pixel_begin + p);
    for (int64_t i = 0; i < args.channel_count; ++i) {
      args.acc[p * args.acc_stride + i] = accumulate<X, W>(args, at, args.channel_begin + i);
    }
  }
}

#define Q8_KERNEL(symbol, isa) {isa, #symbol, symbol##_packed_bytes, symbol##_pack, symbol##_scratch_bytes, symbol},
constexpr DepthwiseConv2dKernel table[] = {
#include "kernels/depthwise_conv2d/kernels.inc"
};
#undef Q8_KERNEL

}  // namespace

size_t depthwise_conv2d_reference_packed_bytes(const DepthwiseConv2dShape&) { return 0; }

void depthwise_conv2d_reference_pack(const DepthwiseConv2dShape&, const void*, const int32_t*, void*) {}

size_t depthwise_conv2d_reference_scratch_bytes(const DepthwiseConv2dShape&) { return 0; }

void depthwise_conv2d_reference(const DepthwiseConv2dArgs& args) {
  with_quantized_type(args.shape->x_dtype, [&](auto x) {
    with_quantized_type(args.shape->w_dtype, [&](auto w) { run<decltype(x), decltype(w)>(args); });
  });
}

Q8_DEFINE_LOOKUP(depthwise_conv2d, DepthwiseConv2dKernel)

}  // namespace q8
