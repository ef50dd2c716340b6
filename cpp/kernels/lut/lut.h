// SPDX-License-Identifier: Apache-2.0
// The family lut: every function of one quantized value is a table of 256 bytes.
//
//   y = table[x], the bits of x read as uint8; the bytes of the table are copied as they are
//
// Aliasing none.
#pragma once

#include <cstdint>

#include "kernels/kernel.h"

namespace q8 {

struct LutArgs {
  const uint8_t* x;
  uint8_t* y;
  int64_t count;
  const uint8_t* table;  // [256]
};

using LutKernel = Kernel<LutArgs>;

#define Q8_KERNEL(symbol, isa) void symbol(const LutArgs& args);
#include "kernels/lut/kernels.inc"
#undef Q8_KERNEL

const LutKernel& lut_kernel(Isa isa);

}  // namespace q8
