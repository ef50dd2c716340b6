// SPDX-License-Identifier: Apache-2.0
// The family requantize_float64: a tile of int32 accumulators becomes quantized values, by a binary64 factor.
//
//   v = f64(f64(acc) * scale[c]) to the nearest integer, ties away from zero, -2^31 beyond int32;
//   y = clamp(wrap(v + zp), qmin, qmax)
//
// Layouts  as requantize.
// Ranges   any acc; 0 < scale < infinity, so v is never NaN; dmin <= qmin <= qmax <= dmax.
// Aliasing none.
// Source   google-ai-edge/LiteRT tflite/kernels/internal/reference/integer_ops/fully_connected.h.
#pragma once

#include <cstdint>

#include "kernels/kernel.h"
#include "numerics/requantize.h"

namespace q8 {

struct RequantizeFloat64Args {
  const int32_t* acc;
  int64_t acc_stride;
  int64_t rows;
  int64_t channels;
  const double* scale;
  int64_t scale_stride;  // 1: per channel; 0: one for all
  QuantizedRange range;
  void* y;
  int64_t y_stride;
};

using RequantizeFloat64Kernel = Kernel<RequantizeFloat64Args>;

#define Q8_KERNEL(symbol, isa) void symbol(const RequantizeFloat64Args& args);
#include "kernels/requantize_float64/kernels.inc"
#undef Q8_KERNEL

const RequantizeFloat64Kernel& requantize_float64_kernel(Isa isa);

}  // namespace q8
