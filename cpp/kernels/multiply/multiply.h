// SPDX-License-Identifier: Apache-2.0
// The family multiply: the int32 accumulators of a product of two quantized vectors.
//
//   acc = (a - a_zero_point)(b - b_zero_point), within 17 bits
//
// Layouts  a, b, acc vectors; a step of 0 repeats one element. The dtypes may differ.
// Ranges   zero points within their dtypes.
// Aliasing none.
#pragma once

#include <cstdint>

#include "base/dtype.h"
#include "kernels/kernel.h"

namespace q8 {

struct MultiplyArgs {
  const void* a;
  const void* b;
  int64_t count;
  int64_t a_step;  // 0 or 1
  int64_t b_step;  // 0 or 1
  DType a_dtype;
  DType b_dtype;
  int32_t a_zero_point;
  int32_t b_zero_point;
  int32_t* acc;
};

using MultiplyKernel = Kernel<MultiplyArgs>;

#define Q8_KERNEL(symbol, isa) void symbol(const MultiplyArgs& args);
#include "kernels/multiply/kernels.inc"
#undef Q8_KERNEL

const MultiplyKernel& multiply_kernel(Isa isa);

}  // namespace q8
