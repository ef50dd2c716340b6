// SPDX-License-Identifier: Apache-2.0
// The family softmax_reciprocal: a table of exponentials, a sequential binary32 sum, one product per element.
//
//   m = max over d of x_d;  e_d = table[255 + x_d - m];  s = the sum of e_d, one after another from 0;
//   r = f32(1 / f32(s / 256));  v = f32(e_d * r);  y = clamp(floor(v + 1/2) + dmin, qmin, qmax)
//
// Layouts  x[d * stride] and y[d * stride], d < depth.
// Ranges   table[256] in [0, 1], the last entry 1, so 1 <= s and v <= 256.
// Aliasing none.
// Source   google-ai-edge/LiteRT tflite/kernels/internal/optimized/optimized_ops.h (Softmax).
#pragma once

#include <cstdint>

#include "kernels/kernel.h"
#include "numerics/requantize.h"

namespace q8 {

struct SoftmaxReciprocalArgs {
  const void* x;
  DType x_dtype;
  void* y;
  int64_t depth;
  int64_t stride;
  const float* table;    // [256]
  QuantizedRange range;  // its zero_point is not used
};

using SoftmaxReciprocalKernel = Kernel<SoftmaxReciprocalArgs>;

#define Q8_KERNEL(symbol, isa) void symbol(const SoftmaxReciprocalArgs& args);
#include "kernels/softmax_reciprocal/kernels.inc"
#undef Q8_KERNEL

const SoftmaxReciprocalKernel& softmax_reciprocal_kernel(Isa isa);

}  // namespace q8
