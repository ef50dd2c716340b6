// SPDX-License-Identifier: Apache-2.0
// The input under a tile of output pixels as rows of memory, rectangle after rectangle: the taps of a kernel row are
// one run. No block of channels copies it again. Internal linkage.
#pragma once

#include <cstdint>

#include "kernels/conv2d/conv2d.h"
#include "kernels/rectangle.h"

namespace q8 {
namespace {

// Elements from row to row, the same for all rectangles of tiles with at most so many pixels.
int64_t row_elements(const Conv2dShape& shape, int64_t pixel_tile) {
  const Window& window = shape.window;
  const int64_t windows = pixel_tile < window.ow ? pixel_tile : window.ow;
  return columns_axis(window).positions(windows) * (window.c / shape.group);
}

// Elements of all rows of a tile: at most kh for every output row that it touches.
int64_t tile_elements(const Conv2dShape& shape, int64_t pixel_tile) {
  const int64_t touched = (pixel_tile + 2 * shape.window.ow - 2) / shape.window.ow;
  const int64_t rows = touched < pixel_tile ? touched : pixel_tile;
  return rows * shape.window.kh * row_elements(shape, pixel_tile);
}

// Writes one row: the input row `row` under the windows that begin at column `col`. x begins at the first channel of
// the group. copy(from, count, to) writes `count` elements made from bytes of x, fill(count, to) as many that stand for
// padding; both may write more behind them, which is then overwritten.
template <class Element, class Copy, class Fill>
void write_row(const Conv2dShape& shape, const uint8_t* x_row, int64_t col, int64_t cols, Element* to, const Copy& copy,
               const Fill& fill) {
  const Window& window = shape.window;
  const Axis axis = columns_axis(window);
  const int64_t channels = window.c / shape.group, positions = axis.positions(cols);
  const int64_t begin = col * window.stride_w - window.pad_left;
  if (axis.is_dense() && shape.group == 1) {
    const int64_t before = begin < 0 ? (-begin < positions ? -begin : positions) : 0;
    const int64_t room = window.w - begin < positions ? window.w - begin : positions;
    const int64_t end = room > before ? room : before;
    fill(before * channels, to);
    copy(x_row + (begin + before) * channels, (end - before) * channels, to + before * channels);
    fill((positions - end) * channels, to + end * channels);
    return;
  }
  axis.for_positions(cols, [&](int64_t source) {
    if (is_inside(begin + source, window.w)) {
      copy(x_row + (begin + source) * window.c, channels, to);
    } else {
      fill(channels, to);
    }
    to += channels;
  });
}

// Writes the rows of a rectangle, row_stride apart; the number of them.
template <class Element, class Copy, class Fill>
int64_t write_rectangle(const Conv2dShape& shape, const uint8_t* x, const Rectangle& at, Element* to,
                        int64_t row_stride, const Copy& copy, const Fill& fill) {
  const Window& window = shape.window;
  const int64_t first = at.row * window.stride_h - window.pad_top;
  const int64_t width = columns_axis(window).positions(at.cols) * (window.c / shape.group);
  rows_axis(window).for_positions(at.rows, [&](int64_t source) {
    const int64_t row = first + source;
    if (is_inside(row, window.h)) {
      write_row(shape, x + (at.n * window.h + row) * window.w * window.c, at.col, at.cols, to, copy, fill);
    } else {
      fill(width, to);
    }
    to += row_stride;
  });
  return rows_axis(window).positions(at.rows);
}

}  // namespace
}  // namespace q8
