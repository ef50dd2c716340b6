// SPDX-License-Identifier: Apache-2.0
// The family transpose: a matrix of elements of 1 or 4 bytes with its rows and columns exchanged.
//
//   y[j * y_stride + i] = x[i * x_stride + j],  i < rows, j < columns
//
// Layouts  strides in elements: x_stride of the rows of x, y_stride of its columns in y.
// Ranges   rows and columns at least 1; x_stride at least columns, y_stride at least rows.
// Aliasing none.
#pragma once

#include <cstdint>

#include "kernels/kernel.h"

namespace q8 {

struct TransposeArgs {
  const void* x;
  void* y;
  int64_t rows;
  int64_t columns;
  int64_t x_stride;
  int64_t y_stride;
  int64_t element_bytes;  // 1 or 4
};

using TransposeKernel = Kernel<TransposeArgs>;

#define Q8_KERNEL(symbol, isa) void symbol(const TransposeArgs& args);
#include "kernels/transpose/kernels.inc"
#undef Q8_KERNEL

const TransposeKernel& transpose_kernel(Isa isa);

}  // namespace q8
