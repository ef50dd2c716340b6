// SPDX-License-Identifier: Apache-2.0
// matmul_pairs with AVX2: rows of a, times packed columns of b.
#include "kernels/dot/pairs_avx2.h"
#include "kernels/matmul_pairs/matmul_pairs.h"

namespace q8 {

size_t matmul_pairs_avx2_packed_bytes(const MatmulShape& shape) {
  return static_cast<size_t>(count_blocks(shape.n) * block_bytes(shape.k));
}

void matmul_pairs_avx2_pack(const MatmulShape& shape, const MatmulB& b, int64_t column_begin, int64_t column_count,
                            void* packed) {
  const Columns source{.w = static_cast<const int8_t*>(b.b),
                       .depth = shape.k,
                       .columns = shape.n,
                       .depth_stride = shape.n,
                       .column_stride = 1,
                       .zero_point = b.zero_point,
                       .zero_point_stride = b.zero_point_stride};
  const int64_t first = column_begin / block_columns;
  for (int64_t i = 0; i < count_blocks(column_count); ++i) pack_block(source, first + i, static_cast<uint8_t*>(packed));
}

size_t matmul_pairs_avx2_scratch_bytes(const MatmulShape& shape, int64_t row_tile) {
  return rows_bytes(row_tile, shape.k);
}

void matmul_pairs_avx2(const MatmulArgs& args) {
  const MatmulShape& shape = *args.shape;
  int32_t* row_sums = static_cast<int32_t*>(args.scratch);
  uint8_t* rows = reinterpret_cast<uint8_t*>(row_sums + args.row_count);
  const uint8_t* a = static_cast<const uint8_t*>(args.a) + args.row_begin * shape.k;
  for (int64_t r = 0; r < args.row_count; ++r) {
    std::memcpy(rows + r * row_stride(shape.k), a + r * shape.k, static_cast<size_t>(shape.k));
  }
  const int64_t bias_begin = args.row_begin * args.bias_stride + args.column_begin;
  dot_pairs({.x = rows,
             .rows = args.row_count,
             .depth = shape.k,
             .x_zero_point = args.a_zero_point,
             .packed = static_cast<const uint8_t*>(args.packed),
             .first_column = args.column_begin,
             .columns = args.column_count,
             .bias = args.bias == nullptr ? nullptr : args.bias + bias_begin,
             .bias_stride = args.bias_stride,
             .acc = args.acc,
             .acc_stride = args.acc_stride,
             .row_sums = row_sums});
}

}  // namespace q8
