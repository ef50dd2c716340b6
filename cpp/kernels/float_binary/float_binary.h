// SPDX-License-Identifier: Apache-2.0
// The family float_binary: dequantize two vectors, one binary32 operation, quantize.
//
//   d_a = f32(f32(a - a_zp) * a_scale), d_b alike;  v = f32(f32(d_a op d_b) / y_scale), NaN to the least value;
//   or as the family quantize with its rule half_even_fused, or that of f32(f32(d * f32(1 / y_scale)) + f32(y_zp))
//   (half_even_added), or with half_even_reciprocal, under which d_a = fma(a, a_scale, f32(-a_zp * a_scale)), d_b
//   alike; y = clamp(half_even(v saturated to [dmin - y_zp, dmax - y_zp]) + y_zp, qmin, qmax)
//
// Layouts  a, b, y vectors; a step of 0 repeats one element. The dtypes may differ.
// Ranges   zero points within their dtypes; scales positive and finite.
// Aliasing none.
#pragma once

#include <cstdint>

#include "kernels/kernel.h"
#include "kernels/quantize/quantize.h"
#include "numerics/requantize.h"

namespace q8 {

enum class FloatOperator : uint8_t { add, sub, mul };

struct FloatBinaryArgs {
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
  float a_scale;
  float b_scale;
  float y_scale;
  FloatOperator op;
  QuantizeRule rule = QuantizeRule::half_even;  // or half_even_reciprocal, _fused, _added
  QuantizedRange range;
};

using FloatBinaryKernel = Kernel<FloatBinaryArgs>;

#define Q8_KERNEL(symbol, isa) void symbol(const FloatBinaryArgs& args);
#include "kernels/float_binary/kernels.inc"
#undef Q8_KERNEL

const FloatBinaryKernel& float_binary_kernel(Isa isa);

}  // namespace q8
