// SPDX-License-Identifier: Apache-2.0
// The family conv2d_pairs: the family conv2d for uint8 times int8 on an accelerator that adds two products in int16.
//
//   Each sum of two products x w of the values as they are, neighbours in the order of kernel rows, kernel columns,
//   channels, saturates to int16 before it is added; a last product of its own does not. Padding holds x_zero_point and
//   takes part. What x_zero_point and w_zero_point contribute beyond x w is added exactly.
//
// Layouts, ranges, overflow and aliasing as conv2d; saturated_bits is 0.
// Source   docs/numerics.md, the values pair_saturate of the field overflow.
#pragma once

#include "kernels/conv2d/conv2d.h"

namespace q8 {

using Conv2dPairsKernel = Conv2dKernel;

#define Q8_KERNEL(symbol, isa)                                                                            \
  size_t symbol##_packed_bytes(const Conv2dShape& shape);                                                 \
  void symbol##_pack(const Conv2dShape& shape, const void* w, const int32_t* w_zero_point, void* packed); \
  size_t symbol##_scratch_bytes(const Conv2dShape& shape, int64_t pixel_tile);                            \
  void symbol(const Conv2dArgs& args);
#include "kernels/conv2d_pairs/kernels.inc"
#undef Q8_KERNEL

const Conv2dPairsKernel& conv2d_pairs_kernel(Isa isa);

}  // namespace q8
