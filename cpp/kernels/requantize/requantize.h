// SPDX-License-Identifier: Apache-2.0
// The family requantize: a tile of int32 accumulators becomes quantized values.
//
//   v = f32(f32(acc) * scale[c]);  q = half_even(v saturated to [dmin - zp, dmax - zp]) + zp;  y = clamp(q, qmin, qmax)
//
// Layouts  acc[row][channel] and y[row][channel], with a stride between rows each; scale[channel] or one scale.
// Ranges   any acc; 0 < scale < infinity, so v is never NaN; dmin <= qmin <= qmax <= dmax, dmin <= zp <= dmax.
// Overflow f32(acc) rounds to nearest even above 2^24; v may be infinite and saturates.
// Aliasing none.
// Source   ONNX Runtime, core/mlas/lib/quantize.cpp (MlasRequantizeOutput).
#pragma once

#include <cstdint>

#include "kernels/kernel.h"
#include "numerics/requantize.h"

namespace q8 {

struct RequantizeArgs {
  const int32_t* acc;
  int64_t acc_stride;
  int64_t rows;
  int64_t channels;
  const float* scale;
  int64_t scale_stride;  // 1: per channel; 0: one for all
  QuantizedRange range;
  void* y;
  int64_t y_stride;
};

using RequantizeKernel = Kernel<RequantizeArgs>;

#define Q8_KERNEL(symbol, isa) void symbol(const RequantizeArgs& args);
#include "kernels/requantize/kernels.inc"
#undef Q8_KERNEL

const RequantizeKernel& requantize_kernel(Isa isa);

}  // namespace q8
