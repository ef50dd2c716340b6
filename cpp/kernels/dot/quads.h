// SPDX-License-Identifier: Apache-2.0
// Packed columns for vpdpbusd, without intrinsics. Internal linkage.
//
// vpdpbusd multiplies unsigned by signed bytes and adds four products to an int32, modulo 2^32. So everything becomes
// x' = uint8 and w' = int8: an int8 x gets 128 added, a uint8 w gets 128 subtracted, and their zero points with them.
// Both are: flip the highest bit.
//
//   acc = bias + sum (x' - xz')(w' - wz')
//       = bias - xz' * correction + sum x'w' - wz' * sum x',   correction = sum w' - depth * wz'
//
// The last term is 0 for the usual weights. All sums wrap modulo 2^32, where they are exact.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/dot/depth.h"

namespace q8 {
namespace {

// Packed columns: for each block of 16 quads[run][length / 4][16 columns][4] int8, then correction[16] and
// zero_point[16] int32. What is missing at the end of a run or of the columns is 0.
constexpr int64_t block_columns = 16;
constexpr int64_t quad_bytes = 4 * block_columns;
constexpr int64_t row_slack = 64;  // bytes behind the last row that a last quad may read

int64_t quads_of_run(const Depth& depth) { return (depth.length + 3) / 4; }
int64_t quads_bytes(const Depth& depth) { return depth.runs * quads_of_run(depth) * quad_bytes; }
int64_t block_bytes(const Depth& depth) { return quads_bytes(depth) + 2 * quad_bytes; }
int64_t count_blocks(int64_t columns) { return (columns + block_columns - 1) / block_columns; }
int64_t packed_columns_bytes(const Depth& depth, int64_t columns) { return count_blocks(columns) * block_bytes(depth); }

const int32_t* corrections(const Depth& depth, const uint8_t* block) {
  return reinterpret_cast<const int32_t*>(block + quads_bytes(depth));
}

const int32_t* zero_points(const Depth& depth, const uint8_t* block) {
  return corrections(depth, block) + block_columns;
}

constexpr uint8_t highest_bit = 0x80;

uint8_t flip_of_x(DType dtype) { return dtype == DType::s8 ? highest_bit : 0; }
int32_t centred_x(DType dtype, int32_t zero_point) { return dtype == DType::s8 ? zero_point + 128 : zero_point; }

// Packs the columns of block `block`.
void pack_block(const Columns& source, int64_t block, uint8_t* packed) {
  const Depth& depth = source.depth;
  const uint8_t flip = source.dtype == DType::s8 ? 0 : highest_bit;
  const int64_t first = block * block_columns;
  const int64_t columns = source.columns - first < block_columns ? source.columns - first : block_columns;
  const uint8_t* w = static_cast<const uint8_t*>(source.w) + first * source.column_stride;
  uint8_t* to = packed + block * block_bytes(depth);
  std::memset(to, 0, static_cast<size_t>(quads_bytes(depth)));
  uint32_t correction[block_columns] = {};
  for (int64_t run = 0; run < depth.runs; ++run, to += quads_of_run(depth) * quad_bytes) {
    for (int64_t i = 0; i < depth.length; ++i, w += source.depth_stride) {
      uint8_t* quad = to + i / 4 * quad_bytes + i % 4;
      for (int64_t c = 0; c < columns; ++c) {
        quad[4 * c] = w[c * source.column_stride] ^ flip;
        correction[c] += static_cast<uint32_t>(static_cast<int8_t>(quad[4 * c]));
      }
    }
  }
  int32_t zero_point[block_columns] = {};
  for (int64_t c = 0; c < columns; ++c) {
    zero_point[c] = source.zero_point[(first + c) * source.zero_point_stride] - flip;
    correction[c] -= static_cast<uint32_t>(depth.runs * depth.length) * static_cast<uint32_t>(zero_point[c]);
  }
  std::memcpy(to, correction, sizeof(correction));
  std::memcpy(to + sizeof(correction), zero_point, sizeof(zero_point));
}

// to[i] = x' of from[i].
void copy_flipped(const uint8_t* __restrict from, int64_t count, uint8_t flip, uint8_t* __restrict to) {
  for (int64_t i = 0; i < count; ++i) to[i] = from[i] ^ flip;
}

}  // namespace
}  // namespace q8
