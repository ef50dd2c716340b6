// SPDX-License-Identifier: Apache-2.0
// Rows of uint8 times packed columns of int8 with AVX2, where each sum of two products saturates to int16: the inner
// part of the kernels conv2d_pairs and matmul_pairs. Internal linkage.
//
// That is what vpmaddubsw does, and the reason for which no other kernel may use it. The zero points come in behind:
//
//   acc = bias + sum of saturated pairs of x w - wz * sum x - xz * correction,   correction = sum w - depth * wz
//
// The middle term is 0 for the usual weights. All sums wrap modulo 2^32.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

namespace q8 {
namespace {

// A packed block of columns: quads[depth / 4][16 columns][4] int8, then correction[16] and zero_point[16] int32. What
// is missing at the end of the depth or of the columns is 0: a last product of its own does not saturate.
constexpr int64_t block_columns = 16;
constexpr int64_t quad_bytes = 64;

int64_t count_quads(int64_t depth) { return (depth + 3) / 4; }
int64_t count_blocks(int64_t columns) { return (columns + block_columns - 1) / block_columns; }
int64_t block_bytes(int64_t depth) { return count_quads(depth) * quad_bytes + 2 * block_columns * 4; }

// Element (d, column) is w[d * depth_stride + column * column_stride].
struct Columns {
  const int8_t* w;
  int64_t depth, columns;
  int64_t depth_stride, column_stride;
  const int32_t* zero_point;
  int64_t zero_point_stride;  // 1: one per column; 0: one for all
};

// Packs the columns of block `block`.
void pack_block(const Columns& source, int64_t block, uint8_t* packed) {
  uint8_t* to = packed + block * block_bytes(source.depth);
  std::memset(to, 0, static_cast<size_t>(block_bytes(source.depth)));
  const int64_t first = block * block_columns;
  const int64_t columns = source.columns - first < block_columns ? source.columns - first : block_columns;
  uint32_t correction[block_columns] = {};
  int32_t zero_point[block_columns] = {};
  for (int64_t c = 0; c < columns; ++c) {
    zero_point[c] = source.zero_point[(first + c) * source.zero_point_stride];
    for (int64_t d = 0; d < source.depth; ++d) {
      const int8_t w = source.w[d * source.depth_stride + (first + c) * source.column_stride];
      to[d / 4 * quad_bytes + 4 * c + d % 4] = static_cast<uint8_t>(w);
      correction[c] += static_cast<uint32_t>(w - zero_point[c]);
    }
  }
  uint8_t* behind = to + count_quads(source.depth) * quad_bytes;
  std::memcpy(behind, correction, sizeof(correction));
  std::memcpy(behind + sizeof(correction), zero_point, sizeof(zero_point));
}

int64_t row_stride(int64_t depth) { return count_quads(depth) * 4; }

// Scratch memory: the sum of each row, then the rows.
size_t rows_bytes(int64_t rows, int64_t depth) { return static_cast<size_t>(rows * (4 + row_stride(depth))); }

// A tile of results: rows x[row][depth], row_stride(depth) apart, times some of the packed columns.
struct PairsTile {
  const uint8_t* x;
  int64_t rows, depth;
  int32_t x_zero_point;
  const uint8_t* packed;
  int64_t first_column;  // a multiple of 16
  int64_t columns;
  const int32_t* bias;  // of row 0 and the first column; nullptr: none
  int64_t bias_stride;
  int32_t* acc;
  int64_t acc_stride;
  int32_t* row_sums;  // memory for `rows` of them
};

struct Sums {
  __m256i low, high;  // of 8 columns each
};

__m256i load_8(const void* from) { return _mm256_loadu_si256(static_cast<const __m256i*>(from)); }

void add_pairs(const uint8_t* x, __m256i w_low, __m256i w_high, Sums* sums) {
  int32_t quad;
  std::memcpy(&quad, x, 4);
  const __m256i repeated = _mm256_set1_epi32(quad), ones = _mm256_set1_epi16(1);
  sums->low = _mm256_add_epi32(sums->low, _mm256_madd_epi16(_mm256_maddubs_epi16(repeated, w_low), ones));
  sums->high = _mm256_add_epi32(sums->high, _mm256_madd_epi16(_mm256_maddubs_epi16(repeated, w_high), ones));
}

// What does not depend on the products, for one row and 16 columns.
Sums with_zero_points(const PairsTile& tile, const Sums& sums, const uint8_t* behind, int64_t row) {
  const __m256i x_zero_point = _mm256_set1_epi32(tile.x_zero_point), sum = _mm256_set1_epi32(tile.row_sums[row]);
  const auto finish = [&](__m256i acc, int64_t at) {
    const __m256i fixed = _mm256_mullo_epi32(x_zero_point, load_8(behind + at));
    const __m256i rest = _mm256_mullo_epi32(sum, load_8(behind + block_columns * 4 + at));
    return _mm256_sub_epi32(acc, _mm256_add_epi32(fixed, rest));
  };
  return {.low = finish(sums.low, 0), .high = finish(sums.high, 32)};
}

// Adds the bias and stores; `columns` of the 16 exist.
void store_row(const PairsTile& tile, const Sums& sums, int64_t row, int64_t column, int64_t columns) {
  const int32_t* bias = tile.bias == nullptr ? nullptr : tile.bias + row * tile.bias_stride + column;
  int32_t* acc = tile.acc + row * tile.acc_stride + column;
  alignas(32) int32_t values[block_columns];
  _mm256_store_si256(reinterpret_cast<__m256i*>(values), sums.low);
  _mm256_store_si256(reinterpret_cast<__m256i*>(values + 8), sums.high);
  for (int64_t c = 0; c < columns; ++c) {
    const uint32_t more = bias == nullptr ? 0 : static_cast<uint32_t>(bias[c]);
    acc[c] = static_cast<int32_t>(static_cast<uint32_t>(values[c]) + more);
  }
}

// Some rows times one block of columns: the sums stay in registers, since the numbers of the rows are constants.
template <int... r>
void dot_rows(std::integer_sequence<int, r...>, const PairsTile& tile, int64_t row, int64_t column) {
  const int64_t quads = count_quads(tile.depth), stride = row_stride(tile.depth);
  const uint8_t* x = tile.x + row * stride;
  const uint8_t* w = tile.packed + (tile.first_column + column) / block_columns * block_bytes(tile.depth);
  const int64_t left = tile.columns - column, columns = left < block_columns ? left : block_columns;
  Sums sums[] = {((void)r, Sums{_mm256_setzero_si256(), _mm256_setzero_si256()})...};
  for (int64_t q = 0; q < quads; ++q, w += quad_bytes) {
    const __m256i low = load_8(w), high = load_8(w + 32);
    (add_pairs(x + r * stride + 4 * q, low, high, &sums[r]), ...);
  }
  (store_row(tile, with_zero_points(tile, sums[r], w, row + r), row + r, column, columns), ...);
}

void dot_pairs(const PairsTile& tile) {
  const int64_t stride = row_stride(tile.depth);
  for (int64_t r = 0; r < tile.rows; ++r) {
    uint32_t sum = 0;
    for (int64_t d = 0; d < tile.depth; ++d) sum += tile.x[r * stride + d];
    tile.row_sums[r] = static_cast<int32_t>(sum);
  }
  for (int64_t column = 0; column < tile.columns; column += block_columns) {
    int64_t row = 0;
    for (; row + 4 <= tile.rows; row += 4) dot_rows(std::make_integer_sequence<int, 4>(), tile, row, column);
    for (; row < tile.rows; ++row) dot_rows(std::make_integer_sequence<int, 1>(), tile, row, column);
  }
}

}  // namespace
}  // namespace q8
