// SPDX-License-Identifier: Apache-2.0
// conv2d with vpdpbusd, for the ISA whose vectors were included before: pixels are rows, times the packed weights of
// the group, and the taps of a kernel row are a run of their depth. The input under a tile of pixels becomes x' once;
// a pointwise convolution of uint8 reads it where it is. Internal linkage.
#pragma once

#include "kernels/conv2d/conv2d.h"
#include "kernels/conv2d/rows.h"
#include "kernels/dot/vnni.h"

namespace q8 {
namespace {

Depth depth_of(const Conv2dShape& shape) {
  return {.runs = shape.window.kh, .length = shape.window.kw * (shape.window.c / shape.group)};
}

size_t packed_bytes_of(const Conv2dShape& shape) {
  return static_cast<size_t>(packed_columns_bytes(depth_of(shape), shape.o / shape.group) * shape.group);
}

// The packed weights of a group begin here.
int64_t group_position(const Conv2dShape& shape, int64_t group) {
  return packed_columns_bytes(depth_of(shape), shape.o / shape.group) * group;
}

void pack_weights(const Conv2dShape& shape, const void* w, const int32_t* w_zero_point, void* packed) {
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
    uint8_t* to = static_cast<uint8_t*>(packed) + group_position(shape, g);
    for (int64_t block = 0; block < count_blocks(columns); ++block) pack_block(source, block, to);
  }
}

// Scratch memory: where each pixel begins, then the rows of all rectangles.
int64_t pointers_bytes(int64_t pixel_tile) { return (pixel_tile * 8 + 63) / 64 * 64; }

size_t scratch_bytes_of(const Conv2dShape& shape, int64_t pixel_tile) {
  return static_cast<size_t>(pointers_bytes(pixel_tile) + tile_elements(shape, pixel_tile) + row_slack);
}

bool reads_input(const Conv2dShape& shape) {
  const Window& window = shape.window;
  const bool has_padding = (window.pad_top | window.pad_left | window.pad_bottom | window.pad_right) != 0;
  return window.kh * window.kw == 1 && !has_padding && flip_of_x(shape.x_dtype) == 0 && window.c / shape.group % 4 == 0;
}

void find_pixels(const Conv2dArgs& args, const uint8_t* x, const uint8_t** pixels) {
  const Window& window = args.shape->window;
  for (int64_t p = 0; p < args.pixel_count; ++p) {
    const WindowAt at = window_at(window, args.pixel_begin + p);
    pixels[p] = x + ((at.n * window.h + at.row) * window.w + at.col) * window.c;
  }
}

// Rows of x'; padding is xz', which the arithmetic of dot turns into 0.
void write_rows(const Conv2dArgs& args, const uint8_t* x, int64_t row_stride, const uint8_t** pixels, uint8_t* rows) {
  const Conv2dShape& shape = *args.shape;
  const Window& window = shape.window;
  const int64_t channels = window.c / shape.group;
  const uint8_t flip = flip_of_x(shape.x_dtype);
  const int32_t padding = centred_x(shape.x_dtype, args.x_zero_point);
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

void run(const Conv2dArgs& args) {
  const Conv2dShape& shape = *args.shape;
  const int64_t channels = shape.window.c / shape.group, columns = shape.o / shape.group;
  const int64_t row_stride = row_elements(shape, args.pixel_count);
  const uint8_t* x = static_cast<const uint8_t*>(args.x) + args.group * channels;
  const uint8_t** pixels = static_cast<const uint8_t**>(args.scratch);
  if (reads_input(shape)) {
    find_pixels(args, x, pixels);
  } else {
    uint8_t* rows = static_cast<uint8_t*>(args.scratch) + pointers_bytes(args.pixel_count);
    write_rows(args, x, row_stride, pixels, rows);
  }
  dot({.x = pixels,
       .run_stride = row_stride,
       .rows = args.pixel_count,
       .depth = depth_of(shape),
       .x_zero_point = centred_x(shape.x_dtype, args.x_zero_point),
       .packed = static_cast<const uint8_t*>(args.packed) + group_position(shape, args.group),
       .first_column = args.channel_begin,
       .columns = args.channel_count,
       .bias = args.bias + args.group * columns + args.channel_begin,
       .bias_stride = 0,
       .acc = args.acc,
       .acc_stride = args.acc_stride});
}

}  // namespace
}  // namespace q8
