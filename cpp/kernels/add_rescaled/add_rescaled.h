// SPDX-License-Identifier: Apache-2.0
// The family add_rescaled: the int32 accumulators of a sum of two operands, each rescaled by a table.
//
//   acc = wrap(a_rescaled[a] + b_rescaled[b]), the tables indexed by the bits of the operand
//
// Layouts  a, b, acc vectors; a step of 0 repeats one element.
// Lines    the tables once more, where both are lines; a kernel may take either.
// Aliasing none.
#pragma once

#include <cstdint>

#include "kernels/kernel.h"
#include "numerics/line.h"

namespace q8 {

struct AddRescaledArgs {
  const uint8_t* a;
  const uint8_t* b;
  int64_t count;
  int64_t a_step;             // 0 or 1
  int64_t b_step;             // 0 or 1
  const int32_t* a_rescaled;  // [256]
  const int32_t* b_rescaled;  // [256]
  const Line* a_line;         // nullptr where either has none
  const Line* b_line;
  int32_t* acc;
};

using AddRescaledKernel = Kernel<AddRescaledArgs>;

#define Q8_KERNEL(symbol, isa) void symbol(const AddRescaledArgs& args);
#include "kernels/add_rescaled/kernels.inc"
#undef Q8_KERNEL

const AddRescaledKernel& add_rescaled_kernel(Isa isa);

}  // namespace q8
