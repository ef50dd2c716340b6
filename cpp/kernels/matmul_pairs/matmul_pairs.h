// SPDX-License-Identifier: Apache-2.0
// The family matmul_pairs: the family matmul for uint8 times int8 on an accelerator that adds two products in int16.
//
//   Each sum of two products a b of the values as they are, neighbours in the order of k, saturates to int16 before it
//   is added; a last product of its own does not. What the zero points contribute beyond a b is added exactly.
//
// Layouts, ranges, overflow and aliasing as matmul; saturated_bits is 0.
// Source   as conv2d_pairs.
#pragma once

#include "kernels/matmul/matmul.h"

namespace q8 {

using MatmulPairsKernel = MatmulKernel;

#define Q8_KERNEL(symbol, isa)                                                                               \
  size_t symbol##_packed_bytes(const MatmulShape& shape);                                                    \
  void symbol##_pack(const MatmulShape& shape, const MatmulB& b, int64_t column_begin, int64_t column_count, \
                     void* packed);                                                                          \
  size_t symbol##_scratch_bytes(const MatmulShape& shape, int64_t row_tile);                                 \
  void symbol(const MatmulArgs& args);
#include "kernels/matmul_pairs/kernels.inc"
#undef Q8_KERNEL

const MatmulPairsKernel& matmul_pairs_kernel(Isa isa);

}  // namespace q8
