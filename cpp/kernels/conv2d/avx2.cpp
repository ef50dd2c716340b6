// SPDX-License-Identifier: Apache-2.0
// conv2d with AVX2: the input under a tile of pixels becomes int16 once; pixels are rows, times the packed weights of
// the group, and the taps of a kernel row are a run of their depth.
#include "kernels/dot/avx2.h"

#include "kernels/conv2d/conv2d.h"
#include "kernels/conv2d/rows.h"

namespace q8 {
namespace {

Depth depth_of(const Conv2dShape& shape) {
  return {.runs = shape.window.kh, .length = shape.window.kw * (shape.window.c / shape.group)};
}

int64_t group_bytes(const Conv2dShape& shape) { return packed_columns_bytes(depth_of(shape), shape.o / shape.group); }

// Scratch memory: where each pixel begins, then the rows of all rectangles.
int64_t pointers_bytes(int64_t pixel_tile) { return (pixel_tile * 8 + 63) / 64 * 64; }

// Rows of x - xz; padding is 0.
void write_rows(const Conv2dArgs& args, int64_t row_stride, const int16_t** pixels, int16_t* rows) {
  const Conv2dShape& shape = *args.shape;
  const Window& window = shape.window;
  const DType dtype = shape.x_dtype;
  const int64_t channels = window.c / shape.group;
  const __m256i zero_point = _mm256_set1_epi16(static_cast<int16_t>(args.x_zero_point));
  const uint8_t* x = static_cast<const uint8_t*>(args.x) + args.group * channels;
  const auto copy = [=](const uint8_t* from, int64_t count, int16_t* to) {
    copy_centred(from, count, dtype, zero_point, to);
  };
  const auto fill = [](int64_t count, int16_t* to) {
    std::memset(to, 0, static_cast<size_t>(count) * sizeof(int16_t));
  };
  for (int64_t done = 0; done < args.pixel_count;) {
    const Rectangle at = rectangle_at(window, args.pixel_begin + done, args.pixel_count - done);
    for (int64_t r = 0; r < at.rows; ++r) {
      const int16_t* first = rows + r * rows_axis(window).step() * row_stride;
      for (int64_t c = 0; c < at.cols; ++c) pixels[done++] = first + c * columns_axis(window).step() * channels;
    }
    rows += write_rectangle(shape, x, at, rows, row_stride, copy, fill) * row_stride;
  }
}

}  // namespace

size_t conv2d_avx2_packed_bytes(const Conv2dShape& shape) {
  return static_cast<size_t>(group_bytes(shape) * shape.group);
}

void conv2d_avx2_pack(const Conv2dShape& shape, const void* w, const int32_t* w_zero_point, void* packed) {
  const Depth depth = depth_of(shape);
  const int64_t taps = depth.runs * depth.length, columns = shape.o / shape.group;
  for (int64_t g = 0; g < shape.group; ++g) {
    const Columns source{.w = static_cast<const uint8_t*>(w) + g * columns * taps,
                         .dtype = shape.w_dtype,
                         .depth = depth,
                         .columns = columns,
                         .depth_stride = 1,
                         .column_stride = taps,
                         .zero_point = w_zero_point + g * columns,
                         .zero_point_stride = 1};
    int16_t* to = static_cast<int16_t*>(packed) + g * (group_bytes(shape) / 2);
    for (int64_t block = 0; block < count_blocks(columns); ++block) pack_block(source, block, to);
  }
}

size_t conv2d_avx2_scratch_bytes(const Conv2dShape& shape, int64_t pixel_tile) {
  return static_cast<size_t>(pointers_bytes(pixel_tile) + (tile_elements(shape, pixel_tile) + row_slack) * 2);
}

void conv2d_avx2(const Conv2dArgs& args) {
  const Conv2dShape& shape = *args.shape;
  const int64_t columns = shape.o / shape.group, row_stride = row_elements(shape, args.pixel_count);
  const int16_t** pixels = static_cast<const int16_t**>(args.scratch);
  int16_t* rows = reinterpret_cast<int16_t*>(static_cast<uint8_t*>(args.scratch) + pointers_bytes(args.pixel_count));
  write_rows(args, row_stride, pixels, rows);
  dot({.x = pixels,
       .run_stride = row_stride,
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
