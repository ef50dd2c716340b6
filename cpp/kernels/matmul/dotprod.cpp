// SPDX-License-Identifier: Apache-2.0
// matmul with the dot products of ARMv8.2: rows of a, times packed columns of b.
#include "kernels/dot/dotprod.h"

#include "kernels/matmul/matmul.h"

namespace q8 {

size_t matmul_dotprod_packed_bytes(const MatmulShape& shape) {
  return static_cast<size_t>(packed_columns_bytes({.runs = 1, .length = shape.k}, shape.n));
}

void matmul_dotprod_pack(const MatmulShape& shape, const MatmulB& b, int64_t column_begin, int64_t column_count,
                         void* packed) {
  const Columns source{.w = b.b,
                       .dtype = shape.b_dtype,
                       .depth = {.runs = 1, .length = shape.k},
                       .columns = shape.n,
                       .depth_stride = shape.n,
                       .column_stride = 1,
                       .zero_point = b.zero_point,
                       .zero_point_stride = b.zero_point_stride};
  const int64_t first = column_begin / block_columns;
  for (int64_t i = 0; i < count_blocks(column_count); ++i) pack_block(source, first + i, static_cast<uint8_t*>(packed));
}

// Scratch memory: where each row begins and its sum, then the rows.
size_t matmul_dotprod_scratch_bytes(const MatmulShape& shape, int64_t row_tile) {
  return static_cast<size_t>(row_tile * 12 + row_tile * shape.k + row_slack);
}

void matmul_dotprod(const MatmulArgs& args) {
  const MatmulShape& shape = *args.shape;
  const uint8_t** pointers = static_cast<const uint8_t**>(args.scratch);
  int32_t* sums = reinterpret_cast<int32_t*>(pointers + args.row_count);
  uint8_t* rows = reinterpret_cast<uint8_t*>(sums + args.row_count);
  const uint8_t* a = static_cast<const uint8_t*>(args.a) + args.row_begin * shape.k;
  copy_flipped(a, args.row_count * shape.k, vdupq_n_u8(flip_of(shape.a_dtype)), rows);
  for (int64_t r = 0; r < args.row_count; ++r) pointers[r] = rows + r * shape.k;
  const int64_t bias_begin = args.row_begin * args.bias_stride + args.column_begin;
  dot({.x = pointers,
       .run_stride = shape.k,
       .rows = args.row_count,
       .depth = {.runs = 1, .length = shape.k},
       .x_zero_point = args.a_zero_point + shift_of(shape.a_dtype),
       .packed = static_cast<const uint8_t*>(args.packed),
       .first_column = args.column_begin,
       .columns = args.column_count,
       .bias = args.bias == nullptr ? nullptr : args.bias + bias_begin,
       .bias_stride = args.bias == nullptr ? 0 : args.bias_stride,
       .acc = args.acc,
       .acc_stride = args.acc_stride,
       .row_sums = sums});
}

}  // namespace q8
