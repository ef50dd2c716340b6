// SPDX-License-Identifier: Apache-2.0
// matmul with AVX2: rows of a, times packed columns of b.
#include "kernels/dot/avx2.h"

#include "kernels/matmul/matmul.h"

namespace q8 {

size_t matmul_avx2_packed_bytes(const MatmulShape& shape) {
  return static_cast<size_t>(packed_columns_bytes(shape.k, shape.n));
}

void matmul_avx2_pack(const MatmulShape& shape, const MatmulB& b, int64_t column_begin, int64_t column_count,
                      void* packed) {
  const Columns source{.w = b.b,
                       .dtype = shape.b_dtype,
                       .depth = shape.k,
                       .columns = shape.n,
                       .depth_stride = shape.n,
                       .column_stride = 1,
                       .zero_point = b.zero_point,
                       .zero_point_stride = b.zero_point_stride};
  const int64_t first = column_begin / block_columns;
  for (int64_t i = 0; i < count_blocks(column_count); ++i) pack_block(source, first + i, static_cast<int16_t*>(packed));
}

size_t matmul_avx2_scratch_bytes(const MatmulShape& shape, int64_t row_tile) {
  return static_cast<size_t>(row_tile * row_stride(shape.k) + row_slack) * sizeof(int16_t);
}

void matmul_avx2(const MatmulArgs& args) {
  const MatmulShape& shape = *args.shape;
  int16_t* rows = static_cast<int16_t*>(args.scratch);
  const uint8_t* a = static_cast<const uint8_t*>(args.a) + args.row_begin * shape.k;
  const __m256i zero_point = _mm256_set1_epi16(static_cast<int16_t>(args.a_zero_point));
  for (int64_t r = 0; r < args.row_count; ++r) {
    copy_centred(a + r * shape.k, shape.k, shape.a_dtype, zero_point, rows + r * row_stride(shape.k));
  }
  const int64_t bias_begin = args.row_begin * args.bias_stride + args.column_begin;
  dot({.x = rows,
       .rows = args.row_count,
       .depth = shape.k,
       .packed = static_cast<const int16_t*>(args.packed),
       .first_column = args.column_begin,
       .columns = args.column_count,
       .bias = args.bias == nullptr ? nullptr : args.bias + bias_begin,
       .bias_stride = args.bias_stride,
       .acc = args.acc,
       .acc_stride = args.acc_stride});
}

}  // namespace q8
