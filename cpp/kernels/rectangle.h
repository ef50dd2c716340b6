// SPDX-License-Identifier: Apache-2.0
// Tiles of output pixels as rectangles, and the input under them, padding included, as an array in which the taps of a
// window follow each other along each axis. Internal linkage.
#pragma once

#include <cstdint>

#include "kernels/window.h"

namespace q8 {
namespace {

// The input under n windows along an axis is either dense, (n - 1) * stride + taps positions in which windows overlap;
// or, where windows have gaps, the taps of each window, n * taps positions.
struct Axis {
  int64_t taps, stride, dilation;

  bool is_dense() const { return dilation == 1 && stride <= taps; }
  int64_t positions(int64_t windows) const { return is_dense() ? (windows - 1) * stride + taps : windows * taps; }
  // From the first position of a window to that of the next.
  int64_t step() const { return is_dense() ? stride : taps; }

  // Calls function(source) for each position, with its place in the input counted from tap 0 of window 0.
  template <class Function>
  void for_positions(int64_t windows, const Function& function) const {
    const int64_t runs = is_dense() ? 1 : windows, length = is_dense() ? positions(windows) : taps;
    for (int64_t run = 0; run < runs; ++run) {
      for (int64_t i = 0; i < length; ++i) function(run * stride + i * dilation);
    }
  }
};

static inline Axis rows_axis(const Window& window) { return {window.kh, window.stride_h, window.dilation_h}; }
static inline Axis columns_axis(const Window& window) { return {window.kw, window.stride_w, window.dilation_w}; }

// Output pixels [row, row + rows) x [col, col + cols) of image n.
struct Rectangle {
  int64_t n, row, rows, col, cols;
};

// What there is of one row, or several whole rows of one image: the largest rectangle that begins at `pixel`, of
// [N, OH, OW], and has at most `count` pixels.
static inline Rectangle rectangle_at(const Window& window, int64_t pixel, int64_t count) {
  const int64_t out_row = pixel / window.ow, col = pixel % window.ow;
  const int64_t n = out_row / window.oh, row = out_row % window.oh;
  if (col != 0 || count < window.ow) {
    return {n, row, 1, col, count < window.ow - col ? count : window.ow - col};
  }
  const int64_t rows = count / window.ow;
  return {n, row, rows < window.oh - row ? rows : window.oh - row, 0, window.ow};
}

}  // namespace
}  // namespace q8
