// SPDX-License-Identifier: Apache-2.0
// Rows times packed columns with the dot products of ARMv8.2: the inner part of the kernels conv2d and matmul. Internal
// linkage.
//
// sdot multiplies signed bytes and adds four products to an int32, modulo 2^32. So everything becomes int8, x', xz', w'
// and wz' (signed_bytes.h).
//
//   acc = bias + sum (x' - xz')(w' - wz')
//       = bias + sum x'w' - wz' * sum x' - xz' * correction,   correction = sum w' - depth * wz'
//
// The middle term is 0 for the usual weights. All sums wrap modulo 2^32, where they are exact.
#pragma once

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include "kernels/dot/depth.h"
#include "kernels/dot/signed_bytes.h"

namespace q8 {
namespace {

// Packed columns, block after block: correction[8] and zero_point[8] int32, quads[run][length / 4][8 columns][4] int8.
// What is missing at the end of a run or of the columns is 0.
constexpr int64_t block_columns = 8;
constexpr int64_t header_bytes = 2 * block_columns * 4;
constexpr int64_t quad_bytes = 4 * block_columns;

int64_t quads_of_run(const Depth& depth) { return (depth.length + 3) / 4; }
int64_t block_bytes(const Depth& depth) { return header_bytes + depth.runs * quads_of_run(depth) * quad_bytes; }
int64_t count_blocks(int64_t columns) { return (columns + block_columns - 1) / block_columns; }

int64_t packed_columns_bytes(const Depth& depth, int64_t columns) { return count_blocks(columns) * block_bytes(depth); }

// Packs the columns of block `block`.
void pack_block(const Columns& source, int64_t block, uint8_t* packed) {
  uint8_t* to = packed + block * block_bytes(source.depth);
  std::memset(to, 0, static_cast<size_t>(block_bytes(source.depth)));
  int8_t* quads = reinterpret_cast<int8_t*>(to + header_bytes);
  int32_t correction[block_columns] = {}, zero_point[block_columns] = {};
  const int64_t first = block * block_columns, length = source.depth.length;
  const int64_t columns = source.columns - first < block_columns ? source.columns - first : block_columns;
  const uint8_t flip = flip_of(source.dtype);
  const uint32_t depth = static_cast<uint32_t>(source.depth.runs * length);
  for (int64_t c = 0; c < columns; ++c) {
    const uint8_t* w = static_cast<const uint8_t*>(source.w) + (first + c) * source.column_stride;
    uint32_t sum = 0;
    for (int64_t run = 0; run < source.depth.runs; ++run) {
      for (int64_t i = 0; i < length; ++i) {
        const int8_t value = static_cast<int8_t>(w[(run * length + i) * source.depth_stride] ^ flip);
        quads[(run * quads_of_run(source.depth) + i / 4) * quad_bytes + 4 * c + i % 4] = value;
        sum += static_cast<uint32_t>(value);
      }
    }
    zero_point[c] = source.zero_point[(first + c) * source.zero_point_stride] + shift_of(source.dtype);
    correction[c] = static_cast<int32_t>(sum - depth * static_cast<uint32_t>(zero_point[c]));
  }
  std::memcpy(to, correction, sizeof(correction));
  std::memcpy(to + sizeof(correction), zero_point, sizeof(zero_point));
}

// Copies count bytes as signed ones; may write up to 15 bytes behind them.
void copy_flipped(const uint8_t* from, int64_t count, uint8x16_t flip, uint8_t* to) {
  int64_t i = 0;
  for (; i + 16 <= count; i += 16) vst1q_u8(to + i, veorq_u8(vld1q_u8(from + i), flip));
  if (i == count) return;
  uint8_t rest[16] = {};
  std::memcpy(rest, from + i, static_cast<size_t>(count - i));
  vst1q_u8(to + i, veorq_u8(vld1q_u8(rest), flip));
}

constexpr int64_t row_slack = 16;  // bytes behind the last row that copies may write and a last quad may read

// A tile of results: rows of x' times some of the packed columns.
struct DotTile {
  const uint8_t* const* x;  // the first run of each row
  int64_t run_stride;       // from run to run
  int64_t rows;
  Depth depth;
  int32_t x_zero_point;  // xz'
  const uint8_t* packed;
  int64_t first_column;  // a multiple of 8
  int64_t columns;
  const int32_t* bias;  // of row 0 and the first column; nullptr: none
  int64_t bias_stride;
  int32_t* acc;
  int64_t acc_stride;
  int32_t* row_sums;  // memory for `rows` of them
};

// Eight rows by 8 columns are sixteen sums, which stay in registers with 16 bytes of each row and a quad of weights.
constexpr int64_t most_rows = 8;

// Some rows times one block of columns, all 8 of them.
struct DotBlock {
  const uint8_t* const* x;
  const uint8_t* w;
  const int32_t* start;  // what the sums begin with
  int64_t start_stride;
  int32_t* acc;
  int64_t acc_stride;
};

int8x16_t load_signed(const uint8_t* from) { return vreinterpretq_s8_u8(vld1q_u8(from)); }

// The four bytes at x, four times.
int8x16_t repeat_quad(const uint8_t* x) {
  int32_t quad;
  std::memcpy(&quad, x, 4);
  return vreinterpretq_s8_s32(vdupq_n_s32(quad));
}

// Quad `lane` of each of the rows, times a quad of weights.
template <int lane, int... r>
void add_quad(std::integer_sequence<int, r...>, const uint8_t* w, const int8x16_t* x, int32x4_t* low, int32x4_t* high) {
  const int8x16_t w_low = load_signed(w), w_high = load_signed(w + 16);
  ((low[r] = vdotq_laneq_s32(low[r], w_low, x[r], lane), high[r] = vdotq_laneq_s32(high[r], w_high, x[r], lane)), ...);
}

void store_sums(int32_t* acc, int32x4_t low, int32x4_t high) {
  vst1q_s32(acc, low);
  vst1q_s32(acc + 4, high);
}

// `groups` groups of rows, one after the other. A function of its own, so that nothing else lives in registers; the
// numbers of the rows are constants, so that arrays do too.
template <int... r>
[[gnu::noinline]] void dot_groups(std::integer_sequence<int, r...> rows, DotBlock block, const Piece& piece,
                                  int64_t groups) {
  constexpr int64_t count = sizeof...(r);
  const int64_t end = piece.x + piece.runs * piece.run_stride;
  for (; groups > 0; --groups) {
    const uint8_t* w = block.w;
    const uint8_t* x[] = {block.x[r]...};
    int32x4_t low[] = {vld1q_s32(block.start + r * block.start_stride)...};
    int32x4_t high[] = {vld1q_s32(block.start + r * block.start_stride + 4)...};
    for (int64_t begin = piece.x; begin < end; begin += piece.run_stride) {
      int64_t i = begin;
      for (; i + 16 <= begin + piece.length; i += 16, w += 4 * quad_bytes) {
        const int8x16_t quads[] = {load_signed(x[r] + i)...};
        add_quad<0>(rows, w, quads, low, high);
        add_quad<1>(rows, w + quad_bytes, quads, low, high);
        add_quad<2>(rows, w + 2 * quad_bytes, quads, low, high);
        add_quad<3>(rows, w + 3 * quad_bytes, quads, low, high);
      }
      for (; i < begin + piece.length; i += 4, w += quad_bytes) {
        const int8x16_t quads[] = {repeat_quad(x[r] + i)...};
        add_quad<0>(rows, w, quads, low, high);
      }
    }
    (store_sums(block.acc + r * block.acc_stride, low[r], high[r]), ...);
    block.x += count;
    block.start += count * block.start_stride;
    block.acc += count * block.acc_stride;
  }
}

void dot_piece(const DotBlock& block, const Piece& piece, int64_t rows, int64_t groups) {
  switch (rows) {
    case 8:
      return dot_groups(std::make_integer_sequence<int, 8>(), block, piece, groups);
    case 7:
      return dot_groups(std::make_integer_sequence<int, 7>(), block, piece, groups);
    case 6:
      return dot_groups(std::make_integer_sequence<int, 6>(), block, piece, groups);
    case 5:
      return dot_groups(std::make_integer_sequence<int, 5>(), block, piece, groups);
    case 4:
      return dot_groups(std::make_integer_sequence<int, 4>(), block, piece, groups);
    case 3:
      return dot_groups(std::make_integer_sequence<int, 3>(), block, piece, groups);
    case 2:
      return dot_groups(std::make_integer_sequence<int, 2>(), block, piece, groups);
    default:
      return dot_groups(std::make_integer_sequence<int, 1>(), block, piece, groups);
  }
}

// `groups` groups of `rows` rows, piece after piece: the sums so far are the start of the next.
void dot_block(const DotTile& tile, DotBlock block, int64_t rows, int64_t groups) {
  const Cut cut{.step = 4, .most = 640, .whole = 4};  // a part of a run is a multiple of 16 bytes
  for_each_piece(tile.depth, tile.run_stride, cut, [&](const Piece& piece, int64_t quads) {
    dot_piece(block, piece, rows, groups);
    block.w += quads * quad_bytes;
    block.start = block.acc;
    block.start_stride = block.acc_stride;
  });
}

// What the sums of row `row` begin with: everything but the products.
void write_start(const DotTile& tile, const uint8_t* header, int64_t row, int64_t column, bool with_row_sums,
                 int32_t* start) {
  const int64_t left = tile.columns - column, columns = left < block_columns ? left : block_columns;
  int32_t bias[block_columns] = {}, parameters[2 * block_columns];
  std::memcpy(parameters, header, header_bytes);
  if (tile.bias != nullptr) {
    const int32_t* from = tile.bias + row * tile.bias_stride + column;
    std::memcpy(bias, from, static_cast<size_t>(columns) * sizeof(int32_t));
  }
  const int32x4_t x_zero_point = vdupq_n_s32(tile.x_zero_point);
  const int32x4_t row_sum = vdupq_n_s32(with_row_sums ? tile.row_sums[row] : 0);
  for (int64_t c = 0; c < block_columns; c += 4) {
    const int32x4_t centred = vmlsq_s32(vld1q_s32(bias + c), x_zero_point, vld1q_s32(parameters + c));
    vst1q_s32(start + c, vmlsq_s32(centred, row_sum, vld1q_s32(parameters + block_columns + c)));
  }
}

// `groups` groups of `rows` rows from row `row` on, times one block of columns. Where there are fewer than 8, by way of
// memory that has all.
void dot_column(const DotTile& tile, int64_t row, int64_t rows, int64_t groups, int64_t column, bool with_row_sums) {
  const uint8_t* packed = tile.packed + (tile.first_column + column) / block_columns * block_bytes(tile.depth);
  const int64_t left = tile.columns - column;
  const bool is_whole = left >= block_columns, is_one_start = tile.bias_stride == 0 && !with_row_sums;
  int32_t start[most_rows * block_columns], sums[most_rows * block_columns];
  DotBlock block{.x = tile.x + row,
                 .w = packed + header_bytes,
                 .start = start,
                 .start_stride = 0,
                 .acc = tile.acc + row * tile.acc_stride + column,
                 .acc_stride = tile.acc_stride};
  write_start(tile, packed, row, column, with_row_sums, start);
  if (is_whole && is_one_start) return dot_block(tile, block, rows, groups);
  for (; groups > 0; --groups, row += rows, block.x += rows, block.acc += rows * tile.acc_stride) {
    if (!is_one_start) block.start_stride = block_columns;
    for (int64_t r = 0; r < rows && !is_one_start; ++r) {
      write_start(tile, packed, row + r, column, with_row_sums, start + r * block_columns);
    }
    DotBlock part = block;
    if (!is_whole) part.acc = sums, part.acc_stride = block_columns;
    dot_block(tile, part, rows, 1);
    if (is_whole) continue;
    const size_t bytes = static_cast<size_t>(left) * sizeof(int32_t);
    for (int64_t r = 0; r < rows; ++r) std::memcpy(block.acc + r * tile.acc_stride, sums + r * block_columns, bytes);
  }
}

// Whether some zero point wz' of these columns is not 0.
bool needs_row_sums(const DotTile& tile) {
  for (int64_t column = 0; column < tile.columns; column += block_columns) {
    const int64_t block = (tile.first_column + column) / block_columns;
    int32_t parameters[2 * block_columns];
    std::memcpy(parameters, tile.packed + block * block_bytes(tile.depth), header_bytes);
    for (int64_t c = 0; c < block_columns; ++c) {
      if (parameters[block_columns + c] != 0) return true;
    }
  }
  return false;
}

// sum x' of each row
void sum_rows(const DotTile& tile) {
  for (int64_t r = 0; r < tile.rows; ++r) {
    int32x4_t sums = vdupq_n_s32(0);
    int32_t rest = 0;
    for (int64_t run = 0; run < tile.depth.runs; ++run) {
      const uint8_t* x = tile.x[r] + run * tile.run_stride;
      int64_t i = 0;
      for (; i + 16 <= tile.depth.length; i += 16) sums = vdotq_s32(sums, load_signed(x + i), vdupq_n_s8(1));
      for (; i < tile.depth.length; ++i) rest += static_cast<int8_t>(x[i]);
    }
    tile.row_sums[r] = vaddvq_s32(sums) + rest;
  }
}

void dot(const DotTile& tile) {
  const bool with_row_sums = needs_row_sums(tile);
  if (with_row_sums) sum_rows(tile);
  for (int64_t column = 0; column < tile.columns; column += block_columns) {
    for_each_size(tile.rows, most_rows, [&](int64_t row, int64_t rows, int64_t groups) {
      dot_column(tile, row, rows, groups, column, with_row_sums);
    });
  }
}

}  // namespace
}  // namespace q8
