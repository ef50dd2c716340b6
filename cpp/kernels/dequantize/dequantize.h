// SPDX-License-Identifier: Apache-2.0
// The family dequantize: quantized values or accumulators become real ones.
//
//   y = f32(f32(x - zero_point) * scale), the difference wraps in int32
//   is_affine: y = f32(f32(x * scale) + f32(-zero_point * scale)), for zero points that binary32 holds
//
// Layouts  x and y vectors of `count` elements with the same scale and zero point, or, with parameter_step 1, one
//          scale and zero point for each.
// Ranges   any x and zero_point; scale positive and finite.
// Aliasing none.
// Source   ONNX DequantizeLinear.
#pragma once

#include <cstdint>

#include "base/dtype.h"
#include "kernels/kernel.h"

namespace q8 {

struct DequantizeArgs {
  const void* x;
  DType x_dtype;  // s8, u8 or s32
  float* y;
  int64_t count;
  const float* scale;
  const int32_t* zero_point;  // nullptr: 0
  int64_t parameter_step;     // 0 or 1
  bool is_affine;
};

using DequantizeKernel = Kernel<DequantizeArgs>;

#define Q8_KERNEL(symbol, isa) void symbol(const DequantizeArgs& args);
#include "kernels/dequantize/kernels.inc"
#undef Q8_KERNEL

const DequantizeKernel& dequantize_kernel(Isa isa);

}  // namespace q8
