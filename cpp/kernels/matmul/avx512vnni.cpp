// SPDX-License-Identifier: Apache-2.0
// matmul with AVX-512 VNNI: rows of a, times packed columns of b.
#include "kernels/dot/avx512vnni.h"

#include "kernels/matmul/matmul.h"

namespace q8 {

size_t matmul_avx512vnni_packed_bytes(const MatmulShape& shape) {
  return static_cast<size_t>(packed_columns_bytes(shape.k, shape.n));
}

void matmul_avx512vnni_pack(const MatmulShape& shape, const MatmulB& b, int64_t column_begin, int64_t column_count,
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
  for (int64_t i = 0; i < count_blocks(column_count); ++i) pack_block(source, first + i, static_cast<uint8_t*>(packed));
}

size_t matmul_avx512vnni_scratch_bytes(const MatmulShape& shape, int64_t row_tile) {
  return static_cast<size_t>(row_tile * 4 + row_tile * row_stride(shape.k) + row_slack);
}

void matmul_avx512vnni(const MatmulArgs& args) {
  const MatmulShape& shape = *args.shape;
  const int32_t shift = shift_of_x(shape.a_dtype);
  int32_t* row_sums = static_cast<int32_t*>(args.scratch);
  uint8_t* rows = reinterpret_cast<uint8_t*>(row_sums + args.row_count);
  const uint8_t* a = static_cast<const uint8_t*>(args.a) + args.row_begin * shape.k;
  for (int64_t r = 0; r < args.row_count; ++r) {
    copy_shifted(a + r * shape.k, shape.k, _mm512_set1_epi8(static_cast<char>(shift)), rows + r * row_stride(shape.k));
  }
  const int64_t bias_begin = args.row_begin * args.bias_stride + args.column_begin;
  dot({.x = rows,
       .rows = args.row_count,
       .depth = shape.k,
       .x_zero_point = args.a_zero_point + shift,
       .packed = static_cast<const uint8_t*>(args.packed),
       .packed_columns = shape.n,
       .first_column = args.column_begin,
       .columns = args.column_count,
       .bias = args.bias == nullptr ? nullptr : args.bias + bias_begin,
       .bias_stride = args.bias_stride,
       .acc = args.acc,
       .acc_stride = args.acc_stride,
       .row_sums = row_sums});
}

}  // namespace q8
