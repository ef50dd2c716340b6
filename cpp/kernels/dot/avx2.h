// SPDX-License-Identifier: Apache-2.0
// Rows times packed columns with AVX2: the inner part of the kernels conv2d and matmul. Internal linkage.
//
// vpmaddwd multiplies int16 by int16 and adds two products to an int32. The zero points are subtracted before, in
// int16: x - xz and w - wz are at most 255 in magnitude, so two products are at most 2^17 and nothing saturates
// (vpmaddubsw on bytes would). The sum over the pairs wraps modulo 2^32.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include "kernels/dot/depth.h"

namespace q8 {
namespace {

// Packed columns: pairs[block][run][length / 2][16 columns][2] int16. What is missing at the end of a run or of the
// columns is 0.
constexpr int64_t block_columns = 16;
constexpr int64_t pair_elements = 32;  // of one block

int64_t pairs_of_run(const Depth& depth) { return (depth.length + 1) / 2; }
int64_t block_elements(const Depth& depth) { return depth.runs * pairs_of_run(depth) * pair_elements; }
int64_t count_blocks(int64_t columns) { return (columns + block_columns - 1) / block_columns; }

int64_t packed_columns_bytes(const Depth& depth, int64_t columns) {
  return count_blocks(columns) * block_elements(depth) * 2;
}

int32_t load_element(const Columns& source, int64_t d, int64_t column) {
  const int64_t at = d * source.depth_stride + column * source.column_stride;
  const int32_t w =
      source.dtype == DType::s8 ? static_cast<const int8_t*>(source.w)[at] : static_cast<const uint8_t*>(source.w)[at];
  return w - source.zero_point[column * source.zero_point_stride];
}

// Packs the columns of block `block`.
void pack_block(const Columns& source, int64_t block, int16_t* packed) {
  const int64_t elements = block_elements(source.depth);
  int16_t* to = packed + block * elements;
  std::memset(to, 0, static_cast<size_t>(elements) * sizeof(int16_t));
  const int64_t first = block * block_columns;
  const int64_t columns = source.columns - first < block_columns ? source.columns - first : block_columns;
  for (int64_t run = 0; run < source.depth.runs; ++run, to += pairs_of_run(source.depth) * pair_elements) {
    for (int64_t i = 0; i < source.depth.length; ++i) {
      int16_t* pair = to + i / 2 * pair_elements + i % 2;
      const int64_t d = run * source.depth.length + i;
      for (int64_t c = 0; c < columns; ++c) pair[2 * c] = static_cast<int16_t>(load_element(source, d, first + c));
    }
  }
}

__m256i widen(__m128i bytes, DType dtype) {
  return dtype == DType::s8 ? _mm256_cvtepi8_epi16(bytes) : _mm256_cvtepu8_epi16(bytes);
}

// Copies count bytes as int16 minus the zero point; may write up to 15 elements behind them.
void copy_centred(const uint8_t* from, int64_t count, DType dtype, __m256i zero_point, int16_t* to) {
  int64_t i = 0;
  for (; i + 16 <= count; i += 16) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + i), _mm256_sub_epi16(widen(bytes, dtype), zero_point));
  }
  if (i == count) return;
  alignas(16) uint8_t rest[16] = {};
  const bool is_long = count >= 16;  // then the last 16 once more in part
  if (!is_long) std::memcpy(rest, from, static_cast<size_t>(count));
  const int64_t at = is_long ? count - 16 : 0;
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(is_long ? from + at : rest));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + at), _mm256_sub_epi16(widen(bytes, dtype), zero_point));
}

constexpr int64_t row_slack = 16;  // elements behind the last row that copies may write and a last pair may read

// A tile of results: rows of x - xz times some of the packed columns.
struct DotTile {
  const int16_t* const* x;  // the first run of each row
  int64_t run_stride;       // from run to run
  int64_t rows;
  Depth depth;
  const int16_t* packed;
  int64_t first_column;  // a multiple of 16
  int64_t columns;
  const int32_t* bias;  // of row 0 and the first column; nullptr: none
  int64_t bias_stride;
  int32_t* acc;
  int64_t acc_stride;
};

// Six rows by 16 columns are twelve sums, which stay in registers with a pair of weights, a pair of x and its product.
constexpr int64_t most_rows = 6;

__m256i load_8(const int32_t* from) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)); }

void add_products(const int16_t* x, __m256i w_low, __m256i w_high, __m256i* low, __m256i* high) {
  int32_t pair;
  std::memcpy(&pair, x, 4);
  const __m256i repeated = _mm256_set1_epi32(pair);
  *low = _mm256_add_epi32(*low, _mm256_madd_epi16(repeated, w_low));
  *high = _mm256_add_epi32(*high, _mm256_madd_epi16(repeated, w_high));
}

void store_sums(int32_t* acc, __m256i low, __m256i high) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(acc), low);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(acc + 8), high);
}

// Some rows times one block of columns, all 16 of them: what the fields of a tile are for this block.
struct DotBlock {
  const int16_t* const* x;
  const int16_t* w;
  const int32_t* bias;
  int64_t bias_stride;
  int32_t* acc;
  int64_t acc_stride;
};

// `groups` groups of rows, one after the other. A function of its own, so that nothing else lives in registers; the
// numbers of the rows are constants, so that arrays do too.
template <int... r>
[[gnu::noinline]] void dot_groups(std::integer_sequence<int, r...>, DotBlock block, const Piece& piece,
                                  int64_t groups) {
  constexpr int64_t rows = sizeof...(r);
  const int64_t end = piece.x + piece.runs * piece.run_stride;
  for (; groups > 0; --groups) {
    const int16_t* w = block.w;
    const int16_t* x[] = {block.x[r]...};
    __m256i low[] = {load_8(block.bias + r * block.bias_stride)...};
    __m256i high[] = {load_8(block.bias + r * block.bias_stride + 8)...};
    for (int64_t begin = piece.x; begin < end; begin += piece.run_stride) {
      for (int64_t i = begin; i < begin + piece.length; i += 2, w += pair_elements) {
        const __m256i w_low = _mm256_load_si256(reinterpret_cast<const __m256i*>(w));
        const __m256i w_high = _mm256_load_si256(reinterpret_cast<const __m256i*>(w + 16));
        (add_products(x[r] + i, w_low, w_high, &low[r], &high[r]), ...);
      }
    }
    (store_sums(block.acc + r * block.acc_stride, low[r], high[r]), ...);
    block.x += rows;
    block.bias += rows * block.bias_stride;
    block.acc += rows * block.acc_stride;
  }
}

void dot_piece(const DotBlock& block, const Piece& piece, int64_t rows, int64_t groups) {
  switch (rows) {
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

// `groups` groups of `rows` rows, piece after piece: the sums so far are the bias of the next.
void dot_block(const DotTile& tile, DotBlock block, int64_t rows, int64_t groups) {
  for_each_piece(tile.depth, tile.run_stride, {.step = 2, .most = 320}, [&](const Piece& piece, int64_t pairs) {
    dot_piece(block, piece, rows, groups);
    block.w += pairs * pair_elements;
    block.bias = block.acc;
    block.bias_stride = block.acc_stride;
  });
}

// Fewer than 16 columns, or no bias: by way of memory that has all.
void dot_rest(const DotTile& tile, const DotBlock& block, int64_t rows, int64_t columns) {
  int32_t bias[most_rows * block_columns] = {}, acc[most_rows * block_columns];
  const size_t bytes = static_cast<size_t>(columns) * sizeof(int32_t);
  for (int64_t r = 0; r < rows && block.bias != nullptr; ++r) {
    std::memcpy(bias + r * block_columns, block.bias + r * block.bias_stride, bytes);
  }
  const DotBlock whole{
      .x = block.x, .w = block.w, .bias = bias, .bias_stride = block_columns, .acc = acc, .acc_stride = block_columns};
  dot_block(tile, whole, rows, 1);
  for (int64_t r = 0; r < rows; ++r) std::memcpy(block.acc + r * block.acc_stride, acc + r * block_columns, bytes);
}

// `groups` groups of `rows` rows from row `row` on, times one block of columns.
void dot_column(const DotTile& tile, int64_t row, int64_t rows, int64_t groups, int64_t column) {
  DotBlock block{.x = tile.x + row,
                 .w = tile.packed + (tile.first_column + column) / block_columns * block_elements(tile.depth),
                 .bias = tile.bias == nullptr ? nullptr : tile.bias + row * tile.bias_stride + column,
                 .bias_stride = tile.bias_stride,
                 .acc = tile.acc + row * tile.acc_stride + column,
                 .acc_stride = tile.acc_stride};
  const int64_t columns = tile.columns - column;
  if (columns >= block_columns && tile.bias != nullptr) return dot_block(tile, block, rows, groups);
  for (; groups > 0; --groups) {
    dot_rest(tile, block, rows, columns < block_columns ? columns : block_columns);
    block.x += rows;
    if (block.bias != nullptr) block.bias += rows * block.bias_stride;
    block.acc += rows * block.acc_stride;
  }
}

void dot(const DotTile& tile) {
  for (int64_t column = 0; column < tile.columns; column += block_columns) {
    for_each_size(tile.rows, most_rows,
                  [&](int64_t row, int64_t rows, int64_t groups) { dot_column(tile, row, rows, groups, column); });
  }
}

}  // namespace
}  // namespace q8
