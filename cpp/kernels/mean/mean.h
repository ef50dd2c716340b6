// SPDX-License-Identifier: Apache-2.0
// The family mean: the int32 accumulators of a sum over the rows of one matrix.
//
//   acc[b] = sum over r of (x[r, b] - x_zero_point)
//
// Layouts  x[R, B] with B = x_stride; acc and x begin at the first of `count` columns.
// Overflow a term is at most 255 in magnitude: exact up to R = 2^23. Beyond, the sum wraps modulo 2^32.
// Aliasing none.
#pragma once

#include <cstdint>

#include "base/dtype.h"
#include "kernels/kernel.h"

namespace q8 {

struct MeanArgs {
  const void* x;
  DType x_dtype;
  int64_t rows;
  int64_t x_stride;
  int64_t count;
  int32_t x_zero_point;
  int32_t* acc;
};

using MeanKernel = Kernel<MeanArgs>;

#define Q8_KERNEL(symbol, isa) void symbol(const MeanArgs& args);
#include "kernels/mean/kernels.inc"
#undef Q8_KERNEL

const MeanKernel& mean_kernel(Isa isa);

}  // namespace q8
