// SPDX-License-Identifier: Apache-2.0
// The family requantize_multiplier: a tile of int32 accumulators becomes quantized values, by integers only.
//
//   y = clamp(wrap(rescale(acc, rule, multiplier[c], shift[c]) + zp), qmin, qmax), see numerics/multiplier.h
//
// Layouts  acc[row][channel] and y[row][channel], with a stride between rows each; one multiplier and shift, or one for
//          each channel.
// Ranges   any acc; multiplier in [0, 2^31), shift in [1, 62], the total right shift; dmin <= qmin <= qmax <= dmax.
// Overflow a left shift (31 - shift bits) wraps, as does the sum with the zero point.
// Aliasing none.
// Source   google/gemmlowp fixedpoint/fixedpoint.h; google/ruy ruy/kernel_avx2_fma.cc, ruy/apply_multiplier.cc.
#pragma once

#include <cstdint>

#include "kernels/kernel.h"
#include "numerics/requantize.h"

namespace q8 {

struct RequantizeMultiplierArgs {
  const int32_t* acc;
  int64_t acc_stride;
  int64_t rows;
  int64_t channels;
  MultiplierRule rule;
  const int32_t* multiplier;
  const int32_t* shift;
  int64_t parameter_stride;  // 1: per channel; 0: one for all
  QuantizedRange range;
  void* y;
  int64_t y_stride;
};

using RequantizeMultiplierKernel = Kernel<RequantizeMultiplierArgs>;

#define Q8_KERNEL(symbol, isa) void symbol(const RequantizeMultiplierArgs& args);
#include "kernels/requantize_multiplier/kernels.inc"
#undef Q8_KERNEL

const RequantizeMultiplierKernel& requantize_multiplier_kernel(Isa isa);

}  // namespace q8
