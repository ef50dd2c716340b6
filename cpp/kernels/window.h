// SPDX-License-Identifier: Apache-2.0
// A window that slides over an image x[N, H, W, C]: the geometry of convolutions and pools. Internal linkage.
#pragma once

#include <cstdint>

namespace q8 {

struct Window {
  int64_t n, h, w, c;  // x[N, H, W, C]
  int64_t oh, ow;      // one window for each [N, OH, OW]
  int64_t kh, kw;      // taps
  int64_t stride_h, stride_w;
  int64_t dilation_h, dilation_w;
  int64_t pad_top, pad_left, pad_bottom, pad_right;
};

// Where the window of one output pixel starts: image n, and the row and column of tap (0, 0), which may lie outside.
struct WindowAt {
  int64_t n, row, col;
};

// pixel counts [N, OH, OW] row by row.
static inline WindowAt window_at(const Window& window, int64_t pixel) {
  const int64_t out_row = pixel / window.ow;
  return {out_row / window.oh, out_row % window.oh * window.stride_h - window.pad_top,
          pixel % window.ow * window.stride_w - window.pad_left};
}

static inline bool is_inside(int64_t position, int64_t size) { return position >= 0 && position < size; }

}  // namespace q8
