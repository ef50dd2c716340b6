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

#include "base/dtype.h"

namespace q8 {
namespace {

// Packed columns: pairs[block][depth / 2][16 columns][2] int16. What is missing at the end of the depth or of the
// columns is 0.
constexpr int64_t block_columns = 16;
constexpr int64_t pair_elements = 32;  // of one block

int64_t count_pairs(int64_t depth) { return (depth + 1) / 2; }
int64_t count_blocks(int64_t columns) { return (columns + block_columns - 1) / block_columns; }

int64_t packed_columns_bytes(int64_t depth, int64_t columns) {
  return count_blocks(columns) * count_pairs(depth) * pair_elements * 2;
}

// Element (d, column) is w[d * depth_stride + column * column_stride].
struct Columns {
  const void* w;
  DType dtype;
  int64_t depth, columns;
  int64_t depth_stride, column_stride;
  const int32_t* zero_point;
  int64_t zero_point_stride;  // 1: one per column; 0: one for all
};

int32_t load_element(const Columns& source, int64_t d, int64_t column) {
  const int64_t at = d * source.depth_stride + column * source.column_stride;
  const int32_t w =
      source.dtype == DType::s8 ? static_cast<const int8_t*>(source.w)[at] : static_cast<const uint8_t*>(source.w)[at];
  return w - source.zero_point[column * source.zero_point_stride];
}

// Packs the columns of block `block`.
void pack_block(const Columns& source, int64_t block, int16_t* packed) {
  const int64_t pairs = count_pairs(source.depth);
  int16_t* to = packed + block * pairs * pair_elements;
  std::memset(to, 0, static_cast<size_t>(pairs * pair_elements) * sizeof(int16_t));
  const int64_t first = block * block_columns;
  const int64_t columns = source.columns - first < block_columns ? source.columns - first : block_columns;
  for (int64_t d = 0; d < source.depth; ++d) {
    int16_t* pair = to + d / 2 * pair_elements + d % 2;
    for (int64_t i = 0; i < columns; ++i) pair[2 * i] = static_cast<int16_t>(load_element(source, d, first + i));
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
  std::memcpy(rest, from + i, static_cast<size_t>(count - i));
  const __m128i bytes = _mm_load_si128(reinterpret_cast<const __m128i*>(rest));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + i), _mm256_sub_epi16(widen(bytes, dtype), zero_point));
}

constexpr int64_t row_slack = 16;  // elements behind the last row that copies may write

int64_t row_stride(int64_t depth) { return count_pairs(depth) * 2; }

// A tile of results: rows x[row][depth] in memory, zero point subtracted, times some of the packed columns.
struct DotTile {
  const int16_t* x;
  int64_t rows;
  int64_t depth;
  const int16_t* packed;
  int64_t first_column;  // a multiple of 16
  int64_t columns;
  const int32_t* bias;  // of row 0 and the first column; nullptr: none
  int64_t bias_stride;
  int32_t* acc;
  int64_t acc_stride;
};

// Adds the bias to the sums of 8 columns and stores them; `columns` of them exist.
void finish_sums(const DotTile& tile, int64_t row, int64_t column, __m256i sums) {
  const int32_t* bias = tile.bias == nullptr ? nullptr : tile.bias + row * tile.bias_stride + column;
  int32_t* acc = tile.acc + row * tile.acc_stride + column;
  const int64_t columns = tile.columns - column;
  if (columns >= 8) {
    if (bias != nullptr) sums = _mm256_add_epi32(sums, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bias)));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(acc), sums);
  } else if (columns > 0) {
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int32_t>(columns)), lanes);
    if (bias != nullptr) sums = _mm256_add_epi32(sums, _mm256_maskload_epi32(bias, mask));
    _mm256_maskstore_epi32(acc, mask, sums);
  }
}

// `rows` rows times one block of columns: the sums stay in registers.
template <int rows>
void dot_block(const DotTile& tile, int64_t row, int64_t column) {
  const int64_t pairs = count_pairs(tile.depth);
  const int64_t stride = row_stride(tile.depth);
  const int16_t* x = tile.x + row * stride;
  const int16_t* w = tile.packed + (tile.first_column + column) / block_columns * pairs * pair_elements;
  __m256i low[rows], high[rows];
  for (int r = 0; r < rows; ++r) low[r] = high[r] = _mm256_setzero_si256();
  for (int64_t p = 0; p < pairs; ++p) {
    const __m256i w_low = _mm256_load_si256(reinterpret_cast<const __m256i*>(w + p * pair_elements));
    const __m256i w_high = _mm256_load_si256(reinterpret_cast<const __m256i*>(w + p * pair_elements + 16));
    for (int r = 0; r < rows; ++r) {
      int32_t pair;
      std::memcpy(&pair, x + r * stride + 2 * p, 4);
      const __m256i repeated = _mm256_set1_epi32(pair);
      low[r] = _mm256_add_epi32(low[r], _mm256_madd_epi16(repeated, w_low));
      high[r] = _mm256_add_epi32(high[r], _mm256_madd_epi16(repeated, w_high));
    }
  }
  for (int r = 0; r < rows; ++r) {
    finish_sums(tile, row + r, column, low[r]);
    finish_sums(tile, row + r, column + 8, high[r]);
  }
}

void dot(const DotTile& tile) {
  for (int64_t column = 0; column < tile.columns; column += block_columns) {
    int64_t row = 0;
    for (; row + 4 <= tile.rows; row += 4) dot_block<4>(tile, row, column);
    if (row + 2 <= tile.rows) dot_block<2>(tile, row, column), row += 2;
    if (row < tile.rows) dot_block<1>(tile, row, column);
  }
}

}  // namespace
}  // namespace q8
