// SPDX-License-Identifier: Apache-2.0
// By how many taps the sum of a window is divided. Internal linkage.
#pragma once

#include <algorithm>

#include "kernels/average_pool/average_pool.h"

namespace q8 {
namespace {

// Taps of one axis inside the image.
int64_t taps_inside(int64_t start, int64_t taps, int64_t dilation, int64_t size) {
  int64_t count = 0;
  for (int64_t k = 0; k < taps; ++k) count += is_inside(start + k * dilation, size);
  return count;
}

int64_t taps_counted(const AveragePoolArgs& args, const WindowAt& at) {
  const Window& window = *args.window;
  if (args.count_include_pad && args.form == AveragePoolForm::integer) return window.kh * window.kw;
  int64_t top = 0, left = 0, height = window.h, width = window.w;
  if (args.count_include_pad) {
    top = window.pad_top;
    left = window.pad_left;
    height += window.pad_top + window.pad_bottom;
    width += window.pad_left + window.pad_right;
  }
  const int64_t count = taps_inside(at.row + top, window.kh, window.dilation_h, height) *
                        taps_inside(at.col + left, window.kw, window.dilation_w, width);
  return std::max(count, int64_t{1});
}

}  // namespace
}  // namespace q8
