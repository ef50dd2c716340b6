// SPDX-License-Identifier: Apache-2.0
// The family mul: the product of two quantized vectors.
//
//   v = f32(f32(f32((a - a_zp)(b - b_zp)) * ratio) + f32(y_zp));  y = clamp(half_even(v saturated), qmin, qmax)
//   fused: v = fma(f32((a - a_zp)(b - b_zp)), ratio, f32(y_zp)), one rounding
//   v >= 2^31 gives qmin, as in the family add.
//
// Layouts  a, b, y vectors; a step of 0 repeats one element. The dtypes may differ.
// Ranges   zero points within their dtypes, so the integer product is exact in binary32; ratio positive and finite.
// Aliasing none.
// Source   ONNX Runtime, core/mlas/lib/qlmul.cpp.
#pragma once

#include <cstdint>

#include "kernels/kernel.h"
#include "numerics/requantize.h"

namespace q8 {

struct MulArgs {
  const void* a;
  const void* b;
  void* y;
  int64_t count;
  int64_t a_step;  // 0 or 1
  int64_t b_step;  // 0 or 1
  DType a_dtype;
  DType b_dtype;
  int32_t a_zero_point;
  int32_t b_zero_point;
  float ratio;
  bool fused;
  QuantizedRange range;
};

using MulKernel = Kernel<MulArgs>;

#define Q8_KERNEL(symbol, isa) void symbol(const MulArgs& args);
#include "kernels/mul/kernels.inc"
#undef Q8_KERNEL

const MulKernel& mul_kernel(Isa isa);

}  // namespace q8
