// SPDX-License-Identifier: Apache-2.0
// The family requantize_staged: a tile of int32 accumulators becomes quantized values, by a multiplier and a shift in
// one or two stages of any rounding.
//
//   y = clamp(limited(rescale_staged(acc, rule, multiplier[c], shift[c]) + zp), qmin, qmax), see numerics/staged.h
//
// Layouts  as requantize_multiplier.
// Ranges   any acc; multiplier in [0, 2^31), shift in [-31, 62], the total right shift, with multiplier * 2^-shift at
//          most 2^31, so that products stay below 2^62; rule.first_shift in [0, 31] and at
//          most shift + 31; dmin <= qmin <= qmax <= dmax.
// Overflow wraps or saturates, as the rule says.
// Aliasing none.
// Source   docs/steps.md; the rules that have a name are those of requantize_multiplier.
#pragma once

#include <cstdint>

#include "kernels/kernel.h"
#include "numerics/staged.h"

namespace q8 {

struct RequantizeStagedArgs {
  const int32_t* acc;
  int64_t acc_stride;
  int64_t rows;
  int64_t channels;
  StagedRule rule;
  const int32_t* multiplier;
  const int32_t* shift;
  int64_t parameter_stride;  // 1: per channel; 0: one for all
  QuantizedRange range;
  void* y;
  int64_t y_stride;
};

using RequantizeStagedKernel = Kernel<RequantizeStagedArgs>;

#define Q8_KERNEL(symbol, isa) void symbol(const RequantizeStagedArgs& args);
#include "kernels/requantize_staged/kernels.inc"
#undef Q8_KERNEL

const RequantizeStagedKernel& requantize_staged_kernel(Isa isa);

}  // namespace q8
