// SPDX-License-Identifier: Apache-2.0
// conv2d with AVX2: the patches of the pixels as rows, times the packed weights of the group.
#include "kernels/dot/avx2.h"

#include "kernels/conv2d/conv2d.h"
#include "kernels/conv2d/patch.h"

namespace q8 {
namespace {

int64_t depth_of(const Conv2dShape& shape) {
  return shape.window.kh * shape.window.kw * (shape.window.c / shape.group);
}

int64_t group_bytes(const Conv2dShape& shape) { return packed_columns_bytes(depth_of(shape), shape.o / shape.group); }

// Rows of x - xz; padding is 0.
void gather_rows(const Conv2dArgs& args, int16_t* rows) {
  const Conv2dShape& shape = *args.shape;
  const DType dtype = shape.x_dtype;
  const __m256i zero_point = _mm256_set1_epi16(static_cast<int16_t>(args.x_zero_point));
  const uint8_t* x = static_cast<const uint8_t*>(args.x) + args.group * (shape.window.c / shape.group);
  for (int64_t p = 0; p < args.pixel_count; ++p) {
    gather_patch(
        shape, x, window_at(shape.window, args.pixel_begin + p), rows + p * row_stride(depth_of(shape)),
        [=](const uint8_t* from, int64_t count, int16_t* to) { copy_centred(from, count, dtype, zero_point, to); },
        [](int64_t count, int16_t* to) { std::memset(to, 0, static_cast<size_t>(count) * sizeof(int16_t)); });
  }
}

}  // namespace

size_t conv2d_avx2_packed_bytes(const Conv2dShape& shape) {
  return static_cast<size_t>(group_bytes(shape) * shape.group);
}

void conv2d_avx2_pack(const Conv2dShape& shape, const void* w, const int32_t* w_zero_point, void* packed) {
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
    int16_t* to = static_cast<int16_t*>(packed) + g * (group_bytes(shape) / 2);
    for (int64_t block = 0; block < count_blocks(columns); ++block) pack_block(source, block, to);
  }
}

size_t conv2d_avx2_scratch_bytes(const Conv2dShape& shape, int64_t pixel_tile) {
  return static_cast<size_t>(pixel_tile * row_stride(depth_of(shape)) + row_slack) * sizeof(int16_t);
}

void conv2d_avx2(const Conv2dArgs& args) {
  const Conv2dShape& shape = *args.shape;
  const int64_t columns = shape.o / shape.group;
  int16_t* rows = static_cast<int16_t*>(args.scratch);
  gather_rows(args, rows);
  dot({.x = rows,
       .rows = args.pixel_count,
       .depth = depth_of(shape),
       .packed = static_cast<const int16_t*>(args.packed) + args.group * (group_bytes(shape) / 2),
       .first_column = args.channel_begin,
       .columns = args.channel_count,
       .bias = args.bias + args.group * columns + args.channel_begin,
       .bias_stride = 0,
       .acc = args.acc,
       .acc_stride = args.acc_stride});
}

}  // namespace q8
