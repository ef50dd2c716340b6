// SPDX-License-Identifier: Apache-2.0
// The family quantize: real values become quantized ones.
//
//   v = x over scale, NaN to the least value;
//   y = clamp(nearest(v saturated to [dmin - zp, dmax - zp]) + zp, qmin, qmax)
//
//   half_even             v = f32(x / scale), ties to even
//   half_away             the same, ties away from zero
//   half_even_reciprocal  v = f32(x * f32(1 / scale)), ties to even
//   half_away_float64     v = f64(x / scale), ties away from zero
//   half_even_fused       y = clamp(half_even(fma(x, f32(1 / scale), f32(zp)) saturated to [dmin, dmax]), qmin, qmax)
//
// Layouts  x and y vectors of `count` elements with the same scale and zero point, or, with parameter_step 1, one
//          scale and zero point for each.
// Ranges   scale positive and finite; zero points within the dtype of y.
// Aliasing none.
// Source   ONNX QuantizeLinear; ONNX Runtime, core/mlas/lib/quantize.cpp.
#pragma once

#include <cstdint>

#include "kernels/kernel.h"
#include "numerics/requantize.h"

namespace q8 {

// The values are those of the parameter `rounding` in docs/steps.md.
enum class QuantizeRule : int32_t {
  half_even = 0,
  half_away = 1,
  half_even_reciprocal = 2,
  half_away_float64 = 3,
  half_even_fused = 4,
  half_even_added = 5  // sums of two values only: product and zero point with a rounding each
};

struct QuantizeArgs {
  const float* x;
  void* y;
  int64_t count;
  const float* scale;
  const int32_t* zero_point;
  int64_t parameter_step;  // 0 or 1
  QuantizedRange range;    // its zero_point is not used
  QuantizeRule rule;
};

using QuantizeKernel = Kernel<QuantizeArgs>;

#define Q8_KERNEL(symbol, isa) void symbol(const QuantizeArgs& args);
#include "kernels/quantize/kernels.inc"
#undef Q8_KERNEL

const QuantizeKernel& quantize_kernel(Isa isa);

}  // namespace q8
