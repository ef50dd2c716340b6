// SPDX-License-Identifier: Apache-2.0
// The family add: two quantized vectors to one, with one rounding per fused multiply-add.
//
//   v = fma(a, a_ratio, fma(b, b_ratio, fixed));  y = clamp(half_even(v saturated to [dmin, dmax]), qmin, qmax)
//   v >= 2^31 gives qmin: the conversion to int32 of x86-64, which the runtime does first, makes -2^31 of it.
//
// The zero points are inside `fixed`. Layouts: a, b, y vectors; a step of 0 repeats one element.
// Ranges   ratios positive and finite, fixed finite.
// Aliasing none.
// Source   ONNX Runtime, core/mlas/lib/intrinsics/avx2/qladd_avx2.cpp.
#pragma once

#include <cstdint>

#include "kernels/kernel.h"
#include "numerics/requantize.h"

namespace q8 {

struct AddArgs {
  const void* a;  // of the dtype of y, as b
  const void* b;
  void* y;
  int64_t count;
  int64_t a_step;  // 0 or 1
  int64_t b_step;  // 0 or 1
  float a_ratio;
  float b_ratio;
  float fixed;
  QuantizedRange range;  // its zero_point is not used
};

using AddKernel = Kernel<AddArgs>;

#define Q8_KERNEL(symbol, isa) void symbol(const AddArgs& args);
#include "kernels/add/kernels.inc"
#undef Q8_KERNEL

const AddKernel& add_kernel(Isa isa);

}  // namespace q8
