// SPDX-License-Identifier: Apache-2.0
// The input of one output pixel as one row of memory. Internal linkage.
#pragma once

#include <cstdint>

#include "kernels/conv2d/conv2d.h"

namespace q8 {
namespace {

// Writes the taps under the window at `at` one after another, [KH][KW][C/G], in the order of the weights.
// x begins at the first channel of the group. copy(from, count, to) writes `count` elements made from bytes of x,
// fill(count, to) as many that stand for padding; both may write more behind them, which is then overwritten.
template <class Element, class Copy, class Fill>
void gather_patch(const Conv2dShape& shape, const uint8_t* x, const WindowAt& at, Element* patch, const Copy& copy,
                  const Fill& fill) {
  const Window& window = shape.window;
  const int64_t channels = window.c / shape.group;
  const bool row_is_one_piece =
      window.dilation_w == 1 && shape.group == 1 && at.col >= 0 && at.col + window.kw <= window.w;
  for (int64_t kh = 0; kh < window.kh; ++kh, patch += window.kw * channels) {
    const int64_t row = at.row + kh * window.dilation_h;
    if (!is_inside(row, window.h)) {
      fill(window.kw * channels, patch);
      continue;
    }
    const uint8_t* x_row = x + (at.n * window.h + row) * window.w * window.c;
    if (row_is_one_piece) {
      copy(x_row + at.col * window.c, window.kw * channels, patch);
      continue;
    }
    for (int64_t kw = 0; kw < window.kw; ++kw) {
      const int64_t col = at.col + kw * window.dilation_w;
      if (is_inside(col, window.w)) {
        copy(x_row + col * window.c, channels, patch + kw * channels);
      } else {
        fill(channels, patch + kw * channels);
      }
    }
  }
}

}  // namespace
}  // namespace q8
