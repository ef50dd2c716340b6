// SPDX-License-Identifier: Apache-2.0
// The family average_pool_scaled: the sum of a window in integers, times one binary32 factor.
//
//   s = f32(the sum of x - x_zp over the taps inside the image), then with m = factor, by rule:
//   outside  y = clamp(half_even(f32(s * m) saturated to [dmin - y_zp, dmax - y_zp]) + y_zp, qmin, qmax)
//   inside   y = clamp(half_even(f32(f32(s * m) + f32(y_zp)) saturated to [dmin, dmax]), qmin, qmax); from 2^31 on
//            qmin, as in the family add
//   fused    as inside, of fma(s, m, f32(y_zp))
//   The channels from inside_from on go by inside.
//
// Layouts  x[N, H, W, C], y[N, OH, OW, C] of the same dtype.
// Ranges   0 < m < infinity; the sum has 64 bits.
// Aliasing none. scratch holds C sums.
// Source   pytorch/pytorch aten/src/ATen/native/quantized/cpu/kernels/QuantizedOpKernels.cpp, found by running it.
#pragma once

#include <cstdint>

#include "kernels/kernel.h"
#include "kernels/window.h"
#include "numerics/requantize.h"

namespace q8 {

enum class AverageRule : uint8_t { outside, inside, fused };

struct AveragePoolScaledArgs {
  const Window* window;
  const void* x;
  void* y;
  int64_t pixel_begin;  // of [N, OH, OW], counted row by row
  int64_t pixel_count;
  int32_t x_zero_point;
  float factor;
  AverageRule rule;
  int64_t inside_from;
  QuantizedRange range;
  int64_t* scratch;
};

using AveragePoolScaledKernel = Kernel<AveragePoolScaledArgs>;

#define Q8_KERNEL(symbol, isa) void symbol(const AveragePoolScaledArgs& args);
#include "kernels/average_pool_scaled/kernels.inc"
#undef Q8_KERNEL

const AveragePoolScaledKernel& average_pool_scaled_kernel(Isa isa);

}  // namespace q8
