// SPDX-License-Identifier: Apache-2.0
// matmul with AVX2: rows of a, times packed columns of b.
#include "kernels/dot/avx2.h"

#include "kernels/matmul/matmul.h"

namespace q8 {
namespace {

int64_t row_stride(const MatmulShape& shape) { return (shape.k + 15) / 16 * 16; }

// Scratch memory: where each row begins, then the rows.
int64_t pointers_bytes(int64_t row_tile) { return (row_tile * 8 + 63) / 64 * 64; }

}  // namespace

size_t matmul_avx2_packed_bytes(const MatmulShape& shape) {
  return static_cast<size_t>(packed_columns_bytes({.runs = 1, .length = shape.k}, shape.n));
}

void matmul_avx2_pack(const MatmulShape& shape, const MatmulB& b, int64_t column_begin, int64_t column_count,
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
  for (int64_t i = 0; i < count_blocks(column_count); ++i) pack_block(source, first + i, static_cast<int16_t*>(packed));
}

size_t matmul_avx2_scratch_bytes(const MatmulShape& shape, int64_t row_tile) {
  return static_cast<size_t>(pointers_bytes(row_tile) + row_tile * row_stride(shape) * 2);
}

void matmul_avx2(const MatmulArgs& args) {
  const MatmulShape& shape = *args.shape;
  const int16_t** pointers = static_cast<const int16_t**>(args.scratch);
  int16_t* rows = reinterpret_cast<int16_t*>(static_cast<uint8_t*>(args.scratch) + pointers_bytes(args.row_count));
  const uint8_t* a = static_cast<const uint8_t*>(args.a) + args.row_begin * shape.k;
  const __m256i zero_point = _mm256_set1_epi16(static_cast<int16_t>(args.a_zero_point));
  for (int64_t r = 0; r < args.row_count; ++r, rows += row_stride(shape)) {
    copy_centred(a + r * shape.k, shape.k, shape.a_dtype, zero_point, rows);
    pointers[r] = rows;
  }
  const int64_t bias_begin = args.row_begin * args.bias_stride + args.column_begin;
  dot({.x = pointers,
       .run_stride = row_stride(shape),
       .rows = args.row_count,
       .depth = {.runs = 1, .length = shape.k},
       .packed = static_cast<const int16_t*>(args.packed),
       .first_column = args.column_begin,
       .columns = args.column_count,
       .bias = args.bias == nullptr ? nullptr : args.bias + bias_begin,
       .bias_stride = args.bias_stride,
       .acc = args.acc,
       .acc_stride = args.acc_stride});
}

}  // namespace q8
