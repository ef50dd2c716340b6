// SPDX-License-Identifier: Apache-2.0
// The family matmul: the int32 accumulators of some rows and some columns of one matrix product.
//
//   acc[m, n] = bias[m, n] + sum over k of (a[m, k] - a_zero_point) * (b[k, n] - b_zero_point[n])
//
// Layouts  a[M, K], b[K, N], one byte each, row after row; acc[row][column] with acc_stride between rows.
// Ranges   zero points within the dtype of what they belong to; any bias.
// Overflow a product is at most 255 * 255 in magnitude, so the sum is exact up to K = 33025 of the worst case.
//          Beyond, it wraps modulo 2^32 as the contract says; addition modulo 2^32 does not depend on the order.
//          With saturated_bits the bias, then each sum with a product, in the order in which the equation names them,
//          saturates to so many bits: the reference kernel alone does that.
// Aliasing none. The kernel may use all of scratch.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/dtype.h"
#include "kernels/kernel.h"

namespace q8 {

struct MatmulShape {
  int64_t m, k, n;
  DType a_dtype;
  DType b_dtype;
};

struct MatmulB {
  const void* b;
  const int32_t* zero_point;
  int64_t zero_point_stride;  // 1: [N]; 0: one for all
};

struct MatmulArgs {
  const MatmulShape* shape;
  const void* a;
  int32_t a_zero_point;
  MatmulB b;
  const void* packed;   // what the pack function of this kernel made of b
  const int32_t* bias;  // nullptr: none
  int64_t bias_stride;  // from row to row: N, or 0 when all rows have the same bias
  int64_t row_begin;
  int64_t row_count;     // at most row_tile
  int64_t column_begin;  // a multiple of 16
  int64_t column_count;
  int32_t* acc;            // [row_count][column_count]
  int64_t acc_stride;      // from row to row
  int32_t saturated_bits;  // 0: wraps
  void* scratch;           // 64-byte aligned
};

struct MatmulKernel {
  Isa isa;
  const char* symbol;
  // Bytes of the packed b, 64-byte aligned memory.
  size_t (*packed_bytes)(const MatmulShape& shape);
  // Packs the columns [column_begin, column_begin + column_count), column_begin a multiple of 16, and so is
  // column_count unless they are the last: at load when b is constant, else once per run.
  void (*pack)(const MatmulShape& shape, const MatmulB& b, int64_t column_begin, int64_t column_count, void* packed);
  size_t (*scratch_bytes)(const MatmulShape& shape, int64_t row_tile);
  void (*run)(const MatmulArgs& args);
};

#define Q8_KERNEL(symbol, isa)                                                                               \
  size_t symbol##_packed_bytes(const MatmulShape& shape);                                                    \
  void symbol##_pack(const MatmulShape& shape, const MatmulB& b, int64_t column_begin, int64_t column_count, \
                     void* packed);                                                                          \
  size_t symbol##_scratch_bytes(const MatmulShape& shape, int64_t row_tile);                                 \
  void symbol(const MatmulArgs& args);
#include "kernels/matmul/kernels.inc"
#undef Q8_KERNEL

const MatmulKernel& matmul_kernel(Isa isa);

}  // namespace q8
