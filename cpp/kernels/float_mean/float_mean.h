// SPDX-License-Identifier: Apache-2.0
// The family float_mean: the mean of dequantized rows, summed in binary32 in the order of a runtime's float kernel.
//
//   d = f32(f32(x - x_zp) * x_scale);  s = the sum of a row's d in the given order;  v = f32(f32(s / f32(R)) / y_scale)
//   y = clamp(half_even(v saturated to [dmin - y_zp, dmax - y_zp]) + y_zp, qmin, qmax)
//
// Orders   lanes: two packets of four lanes from the first element whose index in the whole tensor is a multiple of
//          four, then what lies before, then what lies behind; sequential: one after another; blocks: blocks of four,
//          then two, then one, each summed sequentially and added to the total; packets: four lanes from the first
//          element of the row, then what lies behind (docs/steps.md).
// Layouts  x[K, R], y[K]; rows row_begin to row_begin + row_count.
// Aliasing none.
// Source   ONNX Runtime, core/providers/cpu/reduction/reduction_ops.cc, core/mlas/lib/pooling.cpp (packets); the orders
// were found by running it.
#pragma once

#include <cstdint>

#include "kernels/kernel.h"
#include "numerics/requantize.h"

namespace q8 {

enum class SumOrder { lanes = 0, sequential = 1, blocks = 2, packets = 3 };

struct FloatMeanArgs {
  const void* x;
  void* y;
  DType x_dtype;
  int64_t row_begin;
  int64_t row_count;
  int64_t row_length;
  SumOrder order;
  int32_t x_zero_point;
  float x_scale;
  float y_scale;
  QuantizedRange range;
};

using FloatMeanKernel = Kernel<FloatMeanArgs>;

#define Q8_KERNEL(symbol, isa) void symbol(const FloatMeanArgs& args);
#include "kernels/float_mean/kernels.inc"
#undef Q8_KERNEL

const FloatMeanKernel& float_mean_kernel(Isa isa);

}  // namespace q8
