// SPDX-License-Identifier: Apache-2.0
// The family softmax_fixed: a table of exponentials, a reciprocal and one product per element, by integers only.
//
//   m = max over d of x_d;  e_d = table[255 + x_d - m] in Q0.31;  s = the sum of half_away(e_d, 12);
//   h = leading zero bits of s;  r = one_over_one_plus(s * 2^h - 2^31);
//   y = clamp(half_away(half_up(r * e_d, 31), 35 - h) + dmin, qmin, qmax)
//
// Layouts  x[d * stride] and y[d * stride], d < depth.
// Ranges   table[256] not negative, the last entry at least 2^30, so s >= 2^18; depth <= 4095, so s < 2^31.
// Aliasing none.
// Source   google-ai-edge/LiteRT tflite/kernels/internal/reference/softmax.h.
#pragma once

#include <cstdint>

#include "kernels/kernel.h"
#include "numerics/requantize.h"

namespace q8 {

struct SoftmaxFixedArgs {
  const void* x;
  DType x_dtype;
  void* y;
  int64_t depth;
  int64_t stride;
  const int32_t* table;  // [256]
  QuantizedRange range;  // its zero_point is not used
};

using SoftmaxFixedKernel = Kernel<SoftmaxFixedArgs>;

#define Q8_KERNEL(symbol, isa) void symbol(const SoftmaxFixedArgs& args);
#include "kernels/softmax_fixed/kernels.inc"
#undef Q8_KERNEL

const SoftmaxFixedKernel& softmax_fixed_kernel(Isa isa);

}  // namespace q8
