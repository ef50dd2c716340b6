// SPDX-License-Identifier: Apache-2.0
// Rows times packed columns with AVX-512 VNNI: the inner part of the kernels conv2d and matmul. Internal linkage.
//
// vpdpbusd multiplies unsigned by signed bytes and adds four products to an int32, modulo 2^32. So everything becomes
// x' = uint8 and w' = int8: an int8 x gets 128 added, a uint8 w gets 128 subtracted, and their zero points with them.
//
//   acc = bias + sum (x' - xz')(w' - wz')
//       = bias + sum x'w' - wz' * sum x' - xz' * correction,   correction = sum w' - depth * wz'
//
// The middle term is 0 for the usual weights. All sums wrap modulo 2^32, where they are exact.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/dtype.h"
#include "kernels/intrinsics.h"

namespace q8 {
namespace {

// Packed columns: quads[block][depth / 4][16 columns][4] int8, then correction[block][16] and zero_point[block][16]
// int32. What is missing at the end of the depth or of the columns is 0.
constexpr int64_t block_columns = 16;
constexpr int64_t quad_bytes = 64;  // of one block

int64_t count_quads(int64_t depth) { return (depth + 3) / 4; }
int64_t count_blocks(int64_t columns) { return (columns + block_columns - 1) / block_columns; }

int64_t packed_columns_bytes(int64_t depth, int64_t columns) {
  return count_blocks(columns) * (count_quads(depth) * quad_bytes + 2 * 64);
}

int64_t correction_position(int64_t depth, int64_t columns) {
  return count_blocks(columns) * count_quads(depth) * quad_bytes;
}

int64_t zero_point_position(int64_t depth, int64_t columns) {
  return correction_position(depth, columns) + count_blocks(columns) * 64;
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

// What turns the bytes of a dtype into the ones that vpdpbusd wants.
int32_t shift_of_x(DType dtype) { return dtype == DType::s8 ? 128 : 0; }
int32_t shift_of_w(DType dtype) { return dtype == DType::s8 ? 0 : -128; }

// The four elements from depth d on of 16 columns; `columns` of them exist.
__m512i load_quad(const Columns& source, int64_t d, int64_t first_column, int64_t columns) {
  alignas(64) uint8_t quad[64] = {};
  const int64_t elements = source.depth - d < 4 ? source.depth - d : 4;
  const uint8_t* w = static_cast<const uint8_t*>(source.w) + d * source.depth_stride;
  const uint8_t flip = source.dtype == DType::s8 ? 0 : 0x80;  // -128 modulo 256
  for (int64_t j = 0; j < elements; ++j) {
    for (int64_t i = 0; i < columns; ++i) {
      quad[4 * i + j] = w[j * source.depth_stride + (first_column + i) * source.column_stride] ^ flip;
    }
  }
  return _mm512_load_si512(quad);
}

// Packs the columns of block `block`.
void pack_block(const Columns& source, int64_t block, uint8_t* packed) {
  const int64_t first = block * block_columns;
  const int64_t columns = source.columns - first < block_columns ? source.columns - first : block_columns;
  const int64_t quads = count_quads(source.depth);
  uint8_t* to = packed + block * quads * quad_bytes;
  const __m512i ones = _mm512_set1_epi8(1);
  __m512i sum = _mm512_setzero_si512();
  for (int64_t q = 0; q < quads; ++q) {
    const __m512i quad = load_quad(source, 4 * q, first, columns);
    _mm512_store_si512(to + q * quad_bytes, quad);
    sum = _mm512_dpbusd_epi32(sum, ones, quad);
  }
  alignas(64) int32_t zero_point[16] = {};
  for (int64_t i = 0; i < columns; ++i) {
    zero_point[i] = source.zero_point[(first + i) * source.zero_point_stride] + shift_of_w(source.dtype);
  }
  const __m512i depth = _mm512_set1_epi32(static_cast<int32_t>(source.depth));
  const __m512i zero_points = _mm512_load_si512(zero_point);
  const __m512i correction = _mm512_sub_epi32(sum, _mm512_mullo_epi32(depth, zero_points));
  _mm512_store_si512(packed + correction_position(source.depth, source.columns) + block * 64, correction);
  _mm512_store_si512(packed + zero_point_position(source.depth, source.columns) + block * 64, zero_points);
}

__mmask16 first_lanes(int64_t count) { return static_cast<__mmask16>(count >= 16 ? 0xFFFF : (1 << count) - 1); }
__mmask64 first_bytes(int64_t count) { return count >= 64 ? ~__mmask64{0} : (__mmask64{1} << count) - 1; }

// Copies count bytes and adds shift to each; may write up to 63 bytes behind them.
void copy_shifted(const uint8_t* from, int64_t count, __m512i shift, uint8_t* to) {
  for (int64_t i = 0; i < count; i += 64) {
    const __m512i bytes = _mm512_maskz_loadu_epi8(first_bytes(count - i), from + i);
    _mm512_storeu_si512(to + i, _mm512_add_epi8(bytes, shift));
  }
}

constexpr int64_t row_slack = 64;  // bytes behind the last row that copies may write

int64_t row_stride(int64_t depth) { return count_quads(depth) * 4; }

// A tile of results: rows x[row][depth] of x' in memory, times some of the packed columns.
struct DotTile {
  const uint8_t* x;
  int64_t rows;
  int64_t depth;
  int32_t x_zero_point;  // xz'
  const uint8_t* packed;
  int64_t packed_columns;  // all that are packed
  int64_t first_column;    // a multiple of 16
  int64_t columns;
  const int32_t* bias;  // of row 0 and the first column; nullptr: none
  int64_t bias_stride;
  int32_t* acc;
  int64_t acc_stride;
  int32_t* row_sums;  // memory for `rows` of them
};

// sum x' of each row
void sum_rows(const DotTile& tile) {
  const __m512i ones = _mm512_set1_epi8(1);
  for (int64_t r = 0; r < tile.rows; ++r) {
    const uint8_t* x = tile.x + r * row_stride(tile.depth);
    __m512i sum = _mm512_setzero_si512();
    for (int64_t d = 0; d < tile.depth; d += 64) {
      sum = _mm512_dpbusd_epi32(sum, _mm512_maskz_loadu_epi8(first_bytes(tile.depth - d), x + d), ones);
    }
    tile.row_sums[r] = _mm512_reduce_add_epi32(sum);
  }
}

// Whether some zero point wz' of these columns is not 0.
bool needs_row_sums(const DotTile& tile) {
  const uint8_t* zero_points = tile.packed + zero_point_position(tile.depth, tile.packed_columns);
  __m512i any = _mm512_setzero_si512();
  for (int64_t column = 0; column < tile.columns; column += block_columns) {
    any = _mm512_or_si512(any, _mm512_load_si512(zero_points + (tile.first_column + column) * 4));
  }
  return _mm512_test_epi32_mask(any, any) != 0;
}

// Adds to the sums of one block what does not depend on the products, and stores them.
template <int rows>
void finish_block(const DotTile& tile, int64_t row, int64_t column, bool with_row_sums, const __m512i* sums) {
  const int64_t at = (tile.first_column + column) * 4;
  const __m512i correction = _mm512_load_si512(tile.packed + correction_position(tile.depth, tile.packed_columns) + at);
  const __m512i zero_point = _mm512_load_si512(tile.packed + zero_point_position(tile.depth, tile.packed_columns) + at);
  const __m512i fixed = _mm512_mullo_epi32(_mm512_set1_epi32(tile.x_zero_point), correction);
  const __mmask16 lanes = first_lanes(tile.columns - column);
  for (int r = 0; r < rows; ++r) {
    __m512i acc = _mm512_sub_epi32(sums[r], fixed);
    if (tile.bias != nullptr) {
      const int32_t* bias = tile.bias + (row + r) * tile.bias_stride + column;
      acc = _mm512_add_epi32(acc, _mm512_maskz_loadu_epi32(lanes, bias));
    }
    if (with_row_sums) {
      const __m512i row_sum = _mm512_set1_epi32(tile.row_sums[row + r]);
      acc = _mm512_sub_epi32(acc, _mm512_mullo_epi32(zero_point, row_sum));
    }
    _mm512_mask_storeu_epi32(tile.acc + (row + r) * tile.acc_stride + column, lanes, acc);
  }
}

// `rows` rows times `blocks` blocks of columns: the sums stay in registers.
template <int rows, int blocks>
void dot_block(const DotTile& tile, int64_t row, int64_t column, bool with_row_sums) {
  const int64_t quads = count_quads(tile.depth);
  const int64_t stride = row_stride(tile.depth);
  const uint8_t* x = tile.x + row * stride;
  const uint8_t* w = tile.packed + (tile.first_column + column) / block_columns * quads * quad_bytes;
  __m512i sums[blocks][rows];
  for (int b = 0; b < blocks; ++b) {
    for (int r = 0; r < rows; ++r) sums[b][r] = _mm512_setzero_si512();
  }
  for (int64_t q = 0; q < quads; ++q) {
    __m512i columns[blocks];
    for (int b = 0; b < blocks; ++b) columns[b] = _mm512_load_si512(w + (b * quads + q) * quad_bytes);
    for (int r = 0; r < rows; ++r) {
      int32_t quad;
      std::memcpy(&quad, x + r * stride + 4 * q, 4);
      const __m512i repeated = _mm512_set1_epi32(quad);
      for (int b = 0; b < blocks; ++b) sums[b][r] = _mm512_dpbusd_epi32(sums[b][r], repeated, columns[b]);
    }
  }
  for (int b = 0; b < blocks; ++b) finish_block<rows>(tile, row, column + b * block_columns, with_row_sums, sums[b]);
}

template <int blocks>
void dot_columns(const DotTile& tile, int64_t column, bool with_row_sums) {
  int64_t row = 0;
  for (; row + 8 <= tile.rows; row += 8) dot_block<8, blocks>(tile, row, column, with_row_sums);
  if (row + 4 <= tile.rows) dot_block<4, blocks>(tile, row, column, with_row_sums), row += 4;
  if (row + 2 <= tile.rows) dot_block<2, blocks>(tile, row, column, with_row_sums), row += 2;
  if (row < tile.rows) dot_block<1, blocks>(tile, row, column, with_row_sums);
}

void dot(const DotTile& tile) {
  const bool with_row_sums = needs_row_sums(tile);
  if (with_row_sums) sum_rows(tile);
  int64_t column = 0;
  for (; column + block_columns < tile.columns; column += 2 * block_columns) {
    dot_columns<2>(tile, column, with_row_sums);
  }
  if (column < tile.columns) dot_columns<1>(tile, column, with_row_sums);
}

}  // namespace
}  // namespace q8
