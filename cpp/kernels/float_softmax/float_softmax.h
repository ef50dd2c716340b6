// SPDX-License-Identifier: Apache-2.0
// The family float_softmax: exp(d) / sum of exp(d) of dequantized values in binary32, quantized.
//
//   d = f32(f32(x - x_zp) * x_scale);  m = the largest d;  e = exponential(f32(d - m)) of numerics/exponential.h
//   s = the sum of e in eight lanes: element i is added to lane i mod 8, in order, from 0; then
//       s = f32(f32(f32(l4 + l5) + f32(l6 + l7)) + f32(f32(l0 + l1) + f32(l2 + l3)))
//   v = f32(f32(e * f32(1 / s)) / y_scale)
//   y = clamp(half_even(v saturated to [dmin - y_zp, dmax - y_zp]) + y_zp, qmin, qmax)
//
// Layouts  x[d * stride] and y[d * stride], d < depth.
// Ranges   255 * x_scale is finite.
// Aliasing none.
// Source   ONNX Runtime, core/mlas/lib/compute.cpp, core/mlas/lib/x86_64/{TransKernelFma3,SoftmaxKernelAvx}.S.
#pragma once

#include <cstdint>

#include "kernels/kernel.h"
#include "numerics/requantize.h"

namespace q8 {

struct FloatSoftmaxArgs {
  const void* x;
  DType x_dtype;
  void* y;
  int64_t depth;
  int64_t stride;
  int32_t x_zero_point;
  float x_scale;
  float y_scale;
  QuantizedRange range;
};

using FloatSoftmaxKernel = Kernel<FloatSoftmaxArgs>;

#define Q8_KERNEL(symbol, isa) void symbol(const FloatSoftmaxArgs& args);
#include "kernels/float_softmax/kernels.inc"
#undef Q8_KERNEL

const FloatSoftmaxKernel& float_softmax_kernel(Isa isa);

}  // namespace q8
