// SPDX-License-Identifier: Apache-2.0
// The family softmax: a table of exponentials, a sequential binary32 sum, one binary64 quotient per element.
//
//   m = max over d of x_d;  e_d = table[255 + x_d - m];  s = the sum of e_d, one after another from 0;
//   v = f64(f64(e_d * numerator) / s);  y = clamp(half_even(v saturated to [dmin - zp, dmax - zp]) + zp, qmin, qmax)
//
// Layouts  x[d * stride] and y[d * stride], d < depth.
// Ranges   table[256] finite and not negative, the last entry positive; numerator finite and not negative. s may
//          be infinite, v is finite and not negative.
// Aliasing none.
// Source   ONNX Runtime, contrib_ops/cpu/quantization/qlinear_softmax.cc.
#pragma once

#include <cstdint>

#include "kernels/kernel.h"
#include "numerics/requantize.h"

namespace q8 {

struct SoftmaxArgs {
  const void* x;
  DType x_dtype;
  void* y;
  int64_t depth;
  int64_t stride;
  const float* table;  // [256]
  float numerator;
  QuantizedRange range;
};

using SoftmaxKernel = Kernel<SoftmaxArgs>;

#define Q8_KERNEL(symbol, isa) void symbol(const SoftmaxArgs& args);
#include "kernels/softmax/kernels.inc"
#undef Q8_KERNEL

const SoftmaxKernel& softmax_kernel(Isa isa);

}  // namespace q8
