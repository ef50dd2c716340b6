// SPDX-License-Identifier: Apache-2.0
// The reference kernel of the family conv2d_pairs: the sums of conv2d, and what they gain; and the table of the family.
#include "kernels/conv2d_pairs/conv2d_pairs.h"
#include "kernels/lookup.h"
#include "numerics/accumulator.h"

namespace q8 {
namespace {

// What the accumulator of output channel o under the window at `at` gains when pairs of products saturate.
int64_t excess_of_pairs(const Conv2dArgs& args, const WindowAt& at, int64_t o) {
  const Window& window = args.shape->window;
  const int64_t channels = window.c / args.shape->group;
  const uint8_t* x = static_cast<const uint8_t*>(args.x) + args.group * channels;
  const int8_t* w = static_cast<const int8_t*>(args.w) + o * window.kh * window.kw * channels;
  int64_t excess = 0;
  int32_t pair = 0;
  for (int64_t k = 0; k < window.kh * window.kw * channels; ++k) {
    const int64_t tap = k / channels;
    const int64_t row = at.row + tap / window.kw * window.dilation_h;
    const int64_t col = at.col + tap % window.kw * window.dilation_w;
    const bool inside = is_inside(row, window.h) && is_inside(col, window.w);
    const int64_t place = ((at.n * window.h + row) * window.w + col) * window.c + k % channels;
    pair += (inside ? x[place] : args.x_zero_point) * w[k];
    if (k % 2 == 1) {
      excess += pair_excess(pair);
      pair = 0;
    }
  }
  return excess;
}

#define Q8_KERNEL(symbol, isa) {isa, #symbol, symbol##_packed_bytes, symbol##_pack, symbol##_scratch_bytes, symbol},
constexpr Conv2dPairsKernel table[] = {
#include "kernels/conv2d_pairs/kernels.inc"
};
#undef Q8_KERNEL

}  // namespace

size_t conv2d_pairs_reference_packed_bytes(const Conv2dShape&) { return 0; }

void conv2d_pairs_reference_pack(const Conv2dShape&, const void*, const int32_t*, void*) {}

size_t conv2d_pairs_reference_scratch_bytes(const Conv2dShape&, int64_t) { return 0; }

void conv2d_pairs_reference(const Conv2dArgs& args) {
  conv2d_reference(args);
  const int64_t first_channel = args.group * (args.shape->o / args.shape->group) + args.channel_begin;
  for (int64_t p = 0; p < args.pixel_count; ++p) {
    const WindowAt at = window_at(args.shape->window, args.pixel_begin + p);
    for (int64_t i = 0; i < args.channel_count; ++i) {
      int32_t& acc = args.acc[p * args.acc_stride + i];
      acc = wrap(acc + excess_of_pairs(args, at, first_channel + i));
    }
  }
}

Q8_DEFINE_LOOKUP(conv2d_pairs, Conv2dPairsKernel)

}  // namespace q8
