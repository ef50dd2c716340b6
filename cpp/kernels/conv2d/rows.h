// SPDX-License-Identifier: Apache-2.0
// The input under a tile of output pixels, padding included, as rows of memory in which the taps of a kernel row follow
// each other. Internal linkage.
//
// A tile is cut into rectangles: what it has of one row, or several whole rows of one image. Along an axis the input
// under n windows is either dense, (n - 1) * stride + taps positions in which windows overlap; or, where windows have
// gaps, the taps of each window, n * taps positions. No channel block copies it again.
#pragma once

#include <cstdint>

#include "kernels/conv2d/conv2d.h"

namespace q8 {
namespace {

struct Axis {
  int64_t taps, stride, dilation;

  bool is_dense() const { return dilation == 1 && stride <= taps; }
  int64_t positions(int64_t windows) const { return is_dense() ? (windows - 1) * stride + taps : windows * taps; }
  // The first position of a window.
  int64_t position(int64_t i) const { return i * (is_dense() ? stride : taps); }
  // Where a position lies in the input, counted from tap 0 of window 0.
  int64_t source(int64_t p) const { return is_dense() ? p : p / taps * stride + p % taps * dilation; }
};

Axis rows_axis(const Window& window) { return {window.kh, window.stride_h, window.dilation_h}; }
Axis columns_axis(const Window& window) { return {window.kw, window.stride_w, window.dilation_w}; }

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

// Output pixels [row, row + rows) x [col, col + cols) of image n.
struct Rectangle {
  int64_t n, row, rows, col, cols;
};

// The largest rectangle that begins at `pixel`, of [N, OH, OW], and has at most `count` pixels.
Rectangle rectangle_at(const Window& window, int64_t pixel, int64_t count) {
  const int64_t out_row = pixel / window.ow, col = pixel % window.ow;
  const int64_t n = out_row / window.oh, row = out_row % window.oh;
  if (col != 0 || count < window.ow) {
    return {n, row, 1, col, count < window.ow - col ? count : window.ow - col};
  }
  const int64_t rows = count / window.ow;
  return {n, row, rows < window.oh - row ? rows : window.oh - row, 0, window.ow};
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
  const int64_t runs = axis.is_dense() ? 1 : cols, length = axis.is_dense() ? positions : axis.taps;
  for (int64_t run = 0; run < runs; ++run) {
    for (int64_t i = 0; i < length; ++i, to += channels) {
      const int64_t at = begin + run * axis.stride + i * axis.dilation;
      if (is_inside(at, window.w)) {
        copy(x_row + at * window.c, channels, to);
      } else {
        fill(channels, to);
      }
    }
  }
}

// Writes the rows of a rectangle, row_stride apart; the number of them.
template <class Element, class Copy, class Fill>
int64_t write_rectangle(const Conv2dShape& shape, const uint8_t* x, const Rectangle& at, Element* to,
                        int64_t row_stride, const Copy& copy, const Fill& fill) {
  const Window& window = shape.window;
  const Axis axis = rows_axis(window);
  const int64_t rows = axis.positions(at.rows), width = columns_axis(window).positions(at.cols);
  for (int64_t p = 0; p < rows; ++p, to += row_stride) {
    const int64_t row = at.row * window.stride_h - window.pad_top + axis.source(p);
    if (is_inside(row, window.h)) {
      write_row(shape, x + (at.n * window.h + row) * window.w * window.c, at.col, at.cols, to, copy, fill);
    } else {
      fill(width * (window.c / shape.group), to);
    }
  }
  return rows;
}

}  // namespace
}  // namespace q8
