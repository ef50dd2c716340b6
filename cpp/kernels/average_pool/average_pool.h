// SPDX-License-Identifier: Apache-2.0
// The family average_pool: the mean of a window, through binary32.
//
//   s = the sum, one after another in (h, w) order and from 0, of f32(f32(x - x_zp) * x_scale) over the taps inside
//   the image;  a = f32(s / f32(count));  v = f32(f32(a / y_scale) + f32(y_zp));
//   y = clamp(half_even(v saturated to [dmin, dmax]), qmin, qmax); v >= 2^31 gives qmin, as in the family add
//   count = taps inside the image, or, with count_include_pad, all taps of the kernel.
//
// Forms    integer  the above
//          rows     v = f32(a / y_scale), y = clamp(half_even(v saturated to [dmin - y_zp, dmax - y_zp]) + y_zp, qmin,
//                   qmax); count_include_pad counts the taps inside the padded image; a count of 0 becomes 1
//          columns  as rows, each column of the window summed first, then the columns
//
// Layouts  x[N, H, W, C], y[N, OH, OW, C] of the same dtype.
// Ranges   zero points within the dtype; scales positive and finite; no window has a count of 0.
// Aliasing none. scratch holds 2 C floats.
// Source   ONNX Runtime, contrib_ops/cpu/quantization/qlinear_pool.cc; core/mlas/lib/pooling.cpp (columns) and
//          core/providers/cpu/nn/pool_functors.h (rows), the orders confirmed by running it.
#pragma once

#include <cstdint>

#include "kernels/kernel.h"
#include "kernels/window.h"
#include "numerics/requantize.h"

namespace q8 {

enum class AveragePoolForm { integer = 0, rows = 1, columns = 2 };

struct AveragePoolArgs {
  const Window* window;
  const void* x;
  void* y;
  int64_t pixel_begin;  // of [N, OH, OW], counted row by row
  int64_t pixel_count;
  bool count_include_pad;
  AveragePoolForm form;
  int32_t x_zero_point;
  float x_scale;
  float y_scale;
  QuantizedRange range;
  float* scratch;
};

using AveragePoolKernel = Kernel<AveragePoolArgs>;

#define Q8_KERNEL(symbol, isa) void symbol(const AveragePoolArgs& args);
#include "kernels/average_pool/kernels.inc"
#undef Q8_KERNEL

const AveragePoolKernel& average_pool_kernel(Isa isa);

}  // namespace q8
