// SPDX-License-Identifier: Apache-2.0
// conv2d with AVX-512 VNNI: the patches of the pixels as rows, times the packed weights of the group.
#include "kernels/dot/avx512vnni.h"

#include "kernels/conv2d/conv2d.h"
#include "kernels/conv2d/patch.h"

namespace q8 {
namespace {

int64_t depth_of(const Conv2dShape& shape) {
  return shape.window.kh * shape.window.kw * (shape.window.c / shape.group);
}

int64_t group_bytes(const Conv2dShape& shape) { return packed_columns_bytes(depth_of(shape), shape.o / shape.group); }

// Sets count bytes; may write up to 63 bytes behind them.
void fill_bytes(int64_t count, __m512i value, uint8_t* to) {
  for (int64_t i = 0; i < count; i += 64) _mm512_storeu_si512(to + i, value);
}

// Rows of x'; padding is xz', which the arithmetic of dot turns into 0.
void gather_rows(const Conv2dArgs& args, uint8_t* rows) {
  const Conv2dShape& shape = *args.shape;
  const int32_t shift = shift_of_x(shape.x_dtype);
  const __m512i shifts = _mm512_set1_epi8(static_cast<char>(shift));
  const __m512i padding = _mm512_set1_epi8(static_cast<char>(args.x_zero_point + shift));
  const uint8_t* x = static_cast<const uint8_t*>(args.x) + args.group * (shape.window.c / shape.group);
  for (int64_t p = 0; p < args.pixel_count; ++p) {
    gather_patch(
        shape, x, window_at(shape.window, args.pixel_begin + p), rows + p * row_stride(depth_of(shape)),
        [shifts](const uint8_t* from, int64_t count, uint8_t* to) { copy_shifted(from, count, shifts, to); },
        [padding](int64_t count, uint8_t* to) { fill_bytes(count, padding, to); });
  }
}

}  // namespace

size_t conv2d_avx512vnni_packed_bytes(const Conv2dShape& shape) {
  return static_cast<size_t>(group_bytes(shape) * shape.group);
}

void conv2d_avx512vnni_pack(const Conv2dShape& shape, const void* w, const int32_t* w_zero_point, void* packed) {
  const int64_t depth = depth_of(shape), columns = shape.o / shape.group;
  for (int64_t g = 0; g < shape.group; ++g) {
    const Columns source{.w = static_cast<const uint8_t*>(w) + g * columns * depth,
                         .dtype = shape.w_dtype,
                         .depth = depth,
                         .columns = columns,
                         .depth_stride = 1,
                         .column_stride = depth,
                         .zero_point = w_zero_point + g * columns,
                         .zero_point_stride = 1};
    uint8_t* to = static_cast<uint8_t*>(packed) + g * group_bytes(shape);
    for (int64_t block = 0; block < count_blocks(columns); ++block) pack_block(source, block, to);
  }
}

size_t conv2d_avx512vnni_scratch_bytes(const Conv2dShape& shape, int64_t pixel_tile) {
  return static_cast<size_t>(pixel_tile * 4 + pixel_tile * row_stride(depth_of(shape)) + row_slack);
}

void conv2d_avx512vnni(const Conv2dArgs& args) {
  const Conv2dShape& shape = *args.shape;
  const int64_t columns = shape.o / shape.group;
  int32_t* row_sums = static_cast<int32_t*>(args.scratch);
  uint8_t* rows = reinterpret_cast<uint8_t*>(row_sums + args.pixel_count);
  gather_rows(args, rows);
  dot({.x = rows,
       .rows = args.pixel_count,
       .depth = depth_of(shape),
       .x_zero_point = args.x_zero_point + shift_of_x(shape.x_dtype),
       .packed = static_cast<const uint8_t*>(args.packed) + args.group * group_bytes(shape),
       .packed_columns = columns,
       .first_column = args.channel_begin,
       .columns = args.channel_count,
       .bias = args.bias + args.group * columns + args.channel_begin,
       .bias_stride = 0,
       .acc = args.acc,
       .acc_stride = args.acc_stride,
       .row_sums = row_sums});
}

}  // namespace q8
