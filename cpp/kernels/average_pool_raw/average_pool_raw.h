// SPDX-License-Identifier: Apache-2.0
// The family average_pool_raw: the mean of a window over quantized values, by integers only.
//
//   s = the sum of x - zero_point over the taps inside the image, n = their count;
//   y = clamp(division(s, n) + zero_point, qmin, qmax)
//   division: half_away, s / n to the nearest integer, ties away from zero; toward_zero, s / n without its fraction
//
// Layouts  x[N, H, W, C], y[N, OH, OW, C] of the same dtype.
// Ranges   no window has a count of 0; s has 64 bits.
// Aliasing none. scratch holds C sums.
// Source   google-ai-edge/LiteRT tflite/kernels/internal/reference/integer_ops/pooling.h (zero_point 0, half_away);
//          arm/tosa-specification AVG_POOL2D (half_away); majianjia/nnom src/backends/nnom_local.c (toward_zero).
#pragma once

#include <cstdint>

#include "kernels/kernel.h"
#include "kernels/window.h"
#include "numerics/requantize.h"

namespace q8 {

// The values are those of the parameter `division` in docs/steps.md.
enum class Division : int32_t { half_away = 0, toward_zero = 1 };

struct AveragePoolRawArgs {
  const Window* window;
  const void* x;
  void* y;
  int64_t pixel_begin;  // of [N, OH, OW], counted row by row
  int64_t pixel_count;
  Division division;
  QuantizedRange range;
  int64_t* scratch;
};

using AveragePoolRawKernel = Kernel<AveragePoolRawArgs>;

#define Q8_KERNEL(symbol, isa) void symbol(const AveragePoolRawArgs& args);
#include "kernels/average_pool_raw/kernels.inc"
#undef Q8_KERNEL

const AveragePoolRawKernel& average_pool_raw_kernel(Isa isa);

}  // namespace q8
