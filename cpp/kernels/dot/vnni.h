// SPDX-License-Identifier: Apache-2.0
// Rows times packed columns with vpdpbusd: the inner part of the kernels conv2d and matmul, the same for all ISAs that
// have the instruction. <isa>.h names their vectors, then includes this file. Internal linkage.
//
//   acc[row, column] = bias[row, column] + sum over the depth of (x' - xz')(w' - wz'),   as quads.h takes it apart
//
// A group of rows times one or more blocks of 16 columns stays in registers: each step loads a quad of weights for each
// vector of columns and repeats a quad of x for each row, so loads are fewer than products.
#pragma once

#include <utility>

#include "kernels/dot/quads.h"

namespace q8 {
namespace {

// A tile of results.
struct DotTile {
  const uint8_t* const* x;  // x': the first run of each row
  int64_t run_stride;       // from run to run
  int64_t rows;
  Depth depth;
  int32_t x_zero_point;  // xz'
  const uint8_t* packed;
  int64_t first_column;  // a multiple of 16
  int64_t columns;
  const int32_t* bias;  // of row 0 and the first column; nullptr: none
  int64_t bias_stride;
  int32_t* acc;
  int64_t acc_stride;
};

// Some rows times one or more blocks of columns, all 16 of each.
struct DotBlock {
  const uint8_t* const* x;
  const uint8_t* w;
  int64_t w_stride;      // from block to block
  const int32_t* start;  // what the products are added to
  int64_t start_stride;
  int32_t* acc;
  int64_t acc_stride;
};

template <int... v>
[[gnu::always_inline]] inline void add_row(std::integer_sequence<int, v...>, Vector* sums, Vector x, const Vector* w) {
  ((sums[v] = add_products(sums[v], x, w[v])), ...);
}

// `groups` groups of rows, one after the other. A function of its own, so that nothing else lives in registers; the
// numbers of the rows and vectors are constants, so that arrays do too.
template <int... r, int... v>
[[gnu::noinline]] void dot_groups(std::integer_sequence<int, r...>, std::integer_sequence<int, v...> vectors,
                                  DotBlock block, const Piece& piece, int64_t groups) {
  constexpr int64_t rows = sizeof...(r);
  const int64_t end = piece.x + piece.runs * piece.run_stride;
  for (; groups > 0; --groups) {
    const uint8_t* w = block.w;
    const uint8_t* x[] = {block.x[r]...};
    Vector sums[rows][sizeof...(v)];
    const auto load_row = [&](Vector* row, const int32_t* from) { ((row[v] = load_sums(from + v * lanes)), ...); };
    const auto store_row = [&](const Vector* row, int32_t* to) { (store_sums(to + v * lanes, row[v]), ...); };
    (load_row(sums[r], block.start + r * block.start_stride), ...);
    for (int64_t begin = piece.x; begin < end; begin += piece.run_stride) {
      for (int64_t i = begin; i < begin + piece.length; i += 4, w += quad_bytes) {
        const Vector quads[] = {load_quads(w + v / block_vectors * block.w_stride + v % block_vectors * 4 * lanes)...};
        (add_row(vectors, sums[r], repeat_quad(x[r] + i), quads), ...);
      }
    }
    (store_row(sums[r], block.acc + r * block.acc_stride), ...);
    block.x += rows;
    block.start += rows * block.start_stride;
    block.acc += rows * block.acc_stride;
  }
}

template <int blocks, int most = most_rows(blocks)>
void dot_piece(const DotBlock& block, const Piece& piece, int64_t rows, int64_t groups) {
  if constexpr (most > 1) {
    if (rows < most) return dot_piece<blocks, most - 1>(block, piece, rows, groups);
  }
  dot_groups(std::make_integer_sequence<int, most>(), std::make_integer_sequence<int, blocks * block_vectors>(), block,
             piece, groups);
}

// `groups` groups of `rows` rows, piece after piece: the sums so far are what the next begins with.
template <int blocks>
void dot_block(const DotTile& tile, DotBlock block, int64_t rows, int64_t groups) {
  constexpr Cut cut{.step = 4, .most = 256 / blocks};  // 16 KiB
  for_each_piece(tile.depth, tile.run_stride, cut, [&](const Piece& piece, int64_t quads) {
    dot_piece<blocks>(block, piece, rows, groups);
    block.w += quads * quad_bytes;
    block.start = block.acc;
    block.start_stride = block.acc_stride;
  });
}

// bias - xz' * correction of one block of columns, `columns` of which exist.
void write_start(const DotTile& tile, const uint8_t* w, const int32_t* bias, int64_t columns, int32_t* start) {
  const int32_t* correction = corrections(tile.depth, w);
  for (int64_t c = 0; c < block_columns; ++c) {
    const uint32_t fixed = static_cast<uint32_t>(tile.x_zero_point) * static_cast<uint32_t>(correction[c]);
    const int32_t added = bias != nullptr && c < columns ? bias[c] : 0;
    start[c] = static_cast<int32_t>(static_cast<uint32_t>(added) - fixed);
  }
}

// One block of columns of which some are missing, or whose bias differs from row to row: by way of memory that has all.
void dot_rest(const DotTile& tile, DotBlock block, int64_t rows, int64_t groups, const int32_t* bias, int64_t columns) {
  constexpr int64_t elements = most_rows(1) * block_columns;
  int32_t start[elements], acc[elements];
  for (; groups > 0; --groups, block.x += rows, block.acc += rows * block.acc_stride) {
    for (int64_t r = 0; r < rows; ++r) {
      write_start(tile, block.w, bias, columns, start + r * block_columns);
      if (bias != nullptr) bias += tile.bias_stride;
    }
    const DotBlock whole{.x = block.x,
                         .w = block.w,
                         .w_stride = 0,
                         .start = start,
                         .start_stride = block_columns,
                         .acc = acc,
                         .acc_stride = block_columns};
    dot_block<1>(tile, whole, rows, 1);
    for (int64_t r = 0; r < rows; ++r) {
      std::memcpy(block.acc + r * block.acc_stride, acc + r * block_columns, static_cast<size_t>(columns) * 4);
    }
  }
}

// `groups` groups of `rows` rows from row `row` on, times some blocks of columns.
template <int blocks>
void dot_columns(const DotTile& tile, int64_t row, int64_t rows, int64_t groups, int64_t column) {
  const int64_t stride = block_bytes(tile.depth), columns = tile.columns - column;
  const int32_t* bias = tile.bias == nullptr ? nullptr : tile.bias + row * tile.bias_stride + column;
  int32_t start[blocks * block_columns];
  const DotBlock block{.x = tile.x + row,
                       .w = tile.packed + (tile.first_column + column) / block_columns * stride,
                       .w_stride = stride,
                       .start = start,
                       .start_stride = 0,
                       .acc = tile.acc + row * tile.acc_stride + column,
                       .acc_stride = tile.acc_stride};
  if (columns < block_columns) return dot_rest(tile, block, rows, groups, bias, columns);
  if (bias != nullptr && tile.bias_stride != 0) return dot_rest(tile, block, rows, groups, bias, block_columns);
  for (int64_t b = 0; b < blocks; ++b) {
    const int64_t at = b * block_columns;
    write_start(tile, block.w + b * stride, bias == nullptr ? nullptr : bias + at, block_columns, start + at);
  }
  dot_block<blocks>(tile, block, rows, groups);
}

template <int blocks>
void dot_rows(const DotTile& tile, int64_t column) {
  for_each_size(tile.rows, most_rows(blocks), [&](int64_t row, int64_t rows, int64_t groups) {
    dot_columns<blocks>(tile, row, rows, groups, column);
  });
}

// sum x' of a row
uint32_t sum_row(const DotTile& tile, int64_t row) {
  uint32_t sum = 0;
  for (int64_t run = 0; run < tile.depth.runs; ++run) {
    const uint8_t* x = tile.x[row] + run * tile.run_stride;
    for (int64_t i = 0; i < tile.depth.length; ++i) sum += x[i];
  }
  return sum;
}

// acc -= wz' * sum x', where some wz' is not 0
void subtract_zero_points(const DotTile& tile) {
  const int64_t blocks = count_blocks(tile.columns), stride = block_bytes(tile.depth);
  const uint8_t* w = tile.packed + tile.first_column / block_columns * stride;
  int32_t any = 0;
  for (int64_t b = 0; b < blocks; ++b) {
    for (int64_t c = 0; c < block_columns; ++c) any |= zero_points(tile.depth, w + b * stride)[c];
  }
  for (int64_t r = 0; r < tile.rows && any != 0; ++r) {
    const uint32_t sum = sum_row(tile, r);
    int32_t* acc = tile.acc + r * tile.acc_stride;
    for (int64_t c = 0; c < tile.columns; ++c) {
      const int32_t* zero_point = zero_points(tile.depth, w + c / block_columns * stride);
      const uint32_t less = static_cast<uint32_t>(zero_point[c % block_columns]) * sum;
      acc[c] = static_cast<int32_t>(static_cast<uint32_t>(acc[c]) - less);
    }
  }
}

// The columns in blocks, as many at a time as there are registers for.
template <int blocks>
void dot_from(const DotTile& tile, int64_t column) {
  const bool one_by_one = blocks > 1 && tile.bias != nullptr && tile.bias_stride != 0;
  while (!one_by_one && tile.columns - column >= blocks * block_columns) {
    dot_rows<blocks>(tile, column);
    column += blocks * block_columns;
  }
  if constexpr (blocks > 1) return dot_from<blocks / 2>(tile, column);
  if (column < tile.columns) dot_rows<1>(tile, column);
}

void dot(const DotTile& tile) {
  dot_from<most_blocks>(tile, 0);
  subtract_zero_points(tile);
}

}  // namespace
}  // namespace q8
