// SPDX-License-Identifier: Apache-2.0
// The family max_pool: the greatest value of a window.
//
//   y[n, oh, ow, c] = max of x over the taps inside the image; every window has one
//
// Layouts  x[N, H, W, C], y[N, OH, OW, C] of the same dtype.
// Aliasing none.
#pragma once

#include <cstdint>

#include "base/dtype.h"
#include "kernels/kernel.h"
#include "kernels/window.h"

namespace q8 {

struct MaxPoolArgs {
  const Window* window;
  DType dtype;
  const void* x;
  void* y;
  int64_t pixel_begin;  // of [N, OH, OW], counted row by row
  int64_t pixel_count;
};

using MaxPoolKernel = Kernel<MaxPoolArgs>;

#define Q8_KERNEL(symbol, isa) void symbol(const MaxPoolArgs& args);
#include "kernels/max_pool/kernels.inc"
#undef Q8_KERNEL

const MaxPoolKernel& max_pool_kernel(Isa isa);

}  // namespace q8
