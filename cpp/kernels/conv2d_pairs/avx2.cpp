// SPDX-License-Identifier: Apache-2.0
// conv2d_pairs with AVX2: the patches of the pixels as rows, times the packed weights of the group. Pairs go across the
// ends of kernel rows, so that the taps of a patch have to lie one after another.
#include "kernels/conv2d_pairs/conv2d_pairs.h"
#include "kernels/dot/pairs_avx2.h"

namespace q8 {
namespace {

int64_t depth_of(const Conv2dShape& shape) {
  return shape.window.kh * shape.window.kw * (shape.window.c / shape.group);
}

int64_t group_bytes(const Conv2dShape& shape) {
  return count_blocks(shape.o / shape.group) * block_bytes(depth_of(shape));
}

// The taps under the window at `at` one after another, [KH][KW][C/G]; padding is the zero point. x begins at the first
// channel of the group.
void gather_patch(const Conv2dArgs& args, const uint8_t* x, const WindowAt& at, uint8_t* patch) {
  const Window& window = args.shape->window;
  const size_t channels = static_cast<size_t>(window.c / args.shape->group);
  const bool whole_rows =
      window.dilation_w == 1 && args.shape->group == 1 && at.col >= 0 && at.col + window.kw <= window.w;
  const int64_t pieces = whole_rows ? 1 : window.kw;  // of a kernel row
  const size_t bytes = whole_rows ? channels * static_cast<size_t>(window.kw) : channels;
  for (int64_t kh = 0; kh < window.kh; ++kh) {
    const int64_t row = at.row + kh * window.dilation_h;
    for (int64_t kw = 0; kw < pieces; ++kw, patch += bytes) {
      const int64_t col = at.col + kw * window.dilation_w;
      if (is_inside(row, window.h) && is_inside(col, window.w)) {
        std::memcpy(patch, x + ((at.n * window.h + row) * window.w + col) * window.c, bytes);
      } else {
        std::memset(patch, args.x_zero_point, bytes);
      }
    }
  }
}

void gather_rows(const Conv2dArgs& args, uint8_t* rows) {
  const Conv2dShape& shape = *args.shape;
  const uint8_t* x = static_cast<const uint8_t*>(args.x) + args.group * (shape.window.c / shape.group);
  for (int64_t p = 0; p < args.pixel_count; ++p) {
    gather_patch(args, x, window_at(shape.window, args.pixel_begin + p), rows + p * row_stride(depth_of(shape)));
  }
}

}  // namespace

size_t conv2d_pairs_avx2_packed_bytes(const Conv2dShape& shape) {
  return static_cast<size_t>(group_bytes(shape) * shape.group);
}

void conv2d_pairs_avx2_pack(const Conv2dShape& shape, const void* w, const int32_t* w_zero_point, void* packed) {
  const int64_t depth = depth_of(shape), columns = shape.o / shape.group;
  for (int64_t g = 0; g < shape.group; ++g) {
    const Columns source{.w = static_cast<const int8_t*>(w) + g * columns * depth,
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

size_t conv2d_pairs_avx2_scratch_bytes(const Conv2dShape& shape, int64_t pixel_tile) {
  return rows_bytes(pixel_tile, depth_of(shape));
}

void conv2d_pairs_avx2(const Conv2dArgs& args) {
  const Conv2dShape& shape = *args.shape;
  const int64_t columns = shape.o / shape.group;
  int32_t* row_sums = static_cast<int32_t*>(args.scratch);
  uint8_t* rows = reinterpret_cast<uint8_t*>(row_sums + args.pixel_count);
  gather_rows(args, rows);
  dot_pairs({.x = rows,
             .rows = args.pixel_count,
             .depth = depth_of(shape),
             .x_zero_point = args.x_zero_point,
             .packed = static_cast<const uint8_t*>(args.packed) + args.group * group_bytes(shape),
             .first_column = args.channel_begin,
             .columns = args.channel_count,
             .bias = args.bias + args.group * columns + args.channel_begin,
             .bias_stride = 0,
             .acc = args.acc,
             .acc_stride = args.acc_stride,
             .row_sums = row_sums});
}

}  // namespace q8
