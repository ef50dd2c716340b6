// SPDX-License-Identifier: Apache-2.0
// The family requantize_converted: a tile of int32 accumulators becomes quantized values, with a binary32 bias or none,
// and with the conversion to int32 of x86-64, which nothing saturates before.
//
//   v = f32(fma(bias[c], bias_scale, f32(acc)) * scale[c]);  q = half_even(v), -2^31 where v is not below 2^31;
//   y = clamp(q + zp, qmin, qmax)
//
// Layouts  as requantize; bias[channel] or one bias, with the stride of the scale, or no bias.
// Ranges   any acc; finite bias; 0 < scale < infinity, so v is never NaN; dmin <= zp <= dmax, dmin <= qmin <= qmax <=
//          dmax. The sum q + zp does not wrap.
// Aliasing none.
// Source   pytorch/FBGEMM src/QuantUtilsAvx2.cc (requantizeOutputProcessingAvx2), confirmed against PyTorch's binaries.
#pragma once

#include <cstdint>

#include "kernels/kernel.h"
#include "numerics/requantize.h"

namespace q8 {

struct RequantizeConvertedArgs {
  const int32_t* acc;
  int64_t acc_stride;
  int64_t rows;
  int64_t channels;
  const float* bias;  // null: none
  float bias_scale;   // positive and finite
  const float* scale;
  int64_t parameter_stride;  // 1: per channel; 0: one for all
  QuantizedRange range;
  void* y;
  int64_t y_stride;
};

using RequantizeConvertedKernel = Kernel<RequantizeConvertedArgs>;

#define Q8_KERNEL(symbol, isa) void symbol(const RequantizeConvertedArgs& args);
#include "kernels/requantize_converted/kernels.inc"
#undef Q8_KERNEL

const RequantizeConvertedKernel& requantize_converted_kernel(Isa isa);

}  // namespace q8
