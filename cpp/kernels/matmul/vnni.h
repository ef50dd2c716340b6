// SPDX-License-Identifier: Apache-2.0
// matmul with vpdpbusd, for the ISA whose vectors were included before: rows of a, times packed columns of b. Rows of
// uint8 are read where they are, unless the last quad of one would read behind it. Internal linkage.
#pragma once

#include "kernels/dot/vnni.h"
#include "kernels/matmul/matmul.h"

namespace q8 {
namespace {

Depth depth_of(const MatmulShape& shape) { return {.runs = 1, .length = shape.k}; }

size_t packed_bytes_of(const MatmulShape& shape) {
  return static_cast<size_t>(packed_columns_bytes(depth_of(shape), shape.n));
}

void pack_columns(const MatmulShape& shape, const MatmulB& b, int64_t column_begin, int64_t column_count,
                  void* packed) {
  const Columns source{.w = b.b,
                       .dtype = shape.b_dtype,
                       .depth = depth_of(shape),
                       .columns = shape.n,
                       .depth_stride = shape.n,
                       .column_stride = 1,
                       .zero_point = b.zero_point,
                       .zero_point_stride = b.zero_point_stride};
  const int64_t first = column_begin / block_columns;
  for (int64_t i = 0; i < count_blocks(column_count); ++i) pack_block(source, first + i, static_cast<uint8_t*>(packed));
}

int64_t row_stride(const MatmulShape& shape) { return (shape.k + 3) / 4 * 4; }

// Scratch memory: where each row begins, then the rows.
int64_t pointers_bytes(int64_t row_tile) { return (row_tile * 8 + 63) / 64 * 64; }

size_t scratch_bytes_of(const MatmulShape& shape, int64_t row_tile) {
  return static_cast<size_t>(pointers_bytes(row_tile) + row_tile * row_stride(shape));
}

void run(const MatmulArgs& args) {
  const MatmulShape& shape = *args.shape;
  const uint8_t flip = flip_of_x(shape.a_dtype);
  const bool reads_a = flip == 0 && shape.k % 4 == 0;
  const uint8_t* a = static_cast<const uint8_t*>(args.a) + args.row_begin * shape.k;
  const uint8_t** pointers = static_cast<const uint8_t**>(args.scratch);
  uint8_t* rows = static_cast<uint8_t*>(args.scratch) + pointers_bytes(args.row_count);
  for (int64_t r = 0; r < args.row_count; ++r) {
    const uint8_t* from = a + r * shape.k;
    uint8_t* to = rows + r * row_stride(shape);
    if (!reads_a) copy_flipped(from, shape.k, flip, to);
    pointers[r] = reads_a ? from : to;
  }
  const int64_t bias_begin = args.row_begin * args.bias_stride + args.column_begin;
  dot({.x = pointers,
       .run_stride = row_stride(shape),
       .rows = args.row_count,
       .depth = depth_of(shape),
       .x_zero_point = centred_x(shape.a_dtype, args.a_zero_point),
       .packed = static_cast<const uint8_t*>(args.packed),
       .first_column = args.column_begin,
       .columns = args.column_count,
       .bias = args.bias == nullptr ? nullptr : args.bias + bias_begin,
       .bias_stride = args.bias_stride,
       .acc = args.acc,
       .acc_stride = args.acc_stride});
}

}  // namespace
}  // namespace q8
