// SPDX-License-Identifier: Apache-2.0
// conv2d with the dot products of ARMv8.2: the input under a tile of pixels becomes signed bytes once; pixels are rows,
// times the packed weights of the group, and the taps of a kernel row are a run of their depth.
#include "kernels/dot/dotprod.h"

#include "kernels/conv2d/conv2d.h"
#include "kernels/conv2d/rows.h"

namespace q8 {
namespace {

Depth depth_of(const Conv2dShape& shape) {
  return {.runs = shape.window.kh, .length = shape.window.kw * (shape.window.c / shape.group)};
}

int64_t group_bytes(const Conv2dShape& shape) { return packed_columns_bytes(depth_of(shape), shape.o / shape.group); }

// Rows of x'; padding is xz', which the arithmetic of dot turns into 0.
void write_rows(const Conv2dArgs& args, int64_t row_stride, const uint8_t** pixels, uint8_t* rows) {
  const Conv2dShape& shape = *args.shape;
  const Window& window = shape.window;
  const int64_t channels = window.c / shape.group;
  const uint8x16_t flip = vdupq_n_u8(flip_of(shape.x_dtype));
  const int padding = (args.x_zero_point + shift_of(shape.x_dtype)) & 0xFF;
  const uint8_t* x = static_cast<const uint8_t*>(args.x) + args.group * channels;
  const auto copy = [=](const uint8_t* from, int64_t count, uint8_t* to) { copy_flipped(from, count, flip, to); };
  const auto fill = [=](int64_t count, uint8_t* to) { std::memset(to, padding, static_cast<size_t>(count)); };
  for (int64_t done = 0; done < args.pixel_count;) {
    const Rectangle at = rectangle_at(window, args.pixel_begin + done, args.pixel_count - done);
    for (int64_t r = 0; r < at.rows; ++r) {
      const uint8_t* first = rows + r * rows_axis(window).step() * row_stride;
      for (int64_t c = 0; c < at.cols; ++c) pixels[done++] = first + c * columns_axis(window).step() * channels;
    }
    rows += write_rectangle(shape, x, at, rows, row_stride, copy, fill) * row_stride;
  }
}

}  // namespace

size_t conv2d_dotprod_packed_bytes(const Conv2dShape& shape) {
  return static_cast<size_t>(group_bytes(shape) * shape.group);
}

void conv2d_dotprod_pack(const Conv2dShape& shape, const void* w, const int32_t* w_zero_point, void* packed) {
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
    uint8_t* to = static_cast<uint8_t*>(packed) + g * group_bytes(shape);
    for (int64_t block = 0; block < count_blocks(columns); ++block) pack_block(source, block, to);
  }
}

// Scratch memory: where each pixel begins and its sum, then the rows of all rectangles.
size_t conv2d_dotprod_scratch_bytes(const Conv2dShape& shape, int64_t pixel_tile) {
  return static_cast<size_t>(pixel_tile * 12 + tile_elements(shape, pixel_tile) + row_slack);
}

void conv2d_dotprod(const Conv2dArgs& args) {
  const Conv2dShape& shape = *args.shape;
  const int64_t columns = shape.o / shape.group, row_stride = row_elements(shape, args.pixel_count);
  const uint8_t** pixels = static_cast<const uint8_t**>(args.scratch);
  int32_t* sums = reinterpret_cast<int32_t*>(pixels + args.pixel_count);
  write_rows(args, row_stride, pixels, reinterpret_cast<uint8_t*>(sums + args.pixel_count));
  dot({.x = pixels,
       .run_stride = row_stride,
       .rows = args.pixel_count,
       .depth = depth_of(shape),
       .x_zero_point = args.x_zero_point + shift_of(shape.x_dtype),
       .packed = static_cast<const uint8_t*>(args.packed) + args.group * group_bytes(shape),
       .first_column = args.channel_begin,
       .columns = args.channel_count,
       .bias = args.bias + args.group * columns + args.channel_begin,
       .bias_stride = 0,
       .acc = args.acc,
       .acc_stride = args.acc_stride,
       .row_sums = sums});
}

}  // namespace q8
