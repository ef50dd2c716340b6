// SPDX-License-Identifier: Apache-2.0
// How the work of a step is cut into independent units.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace q8 {

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

inline size_t round_up_to_64(size_t bytes) { return (bytes + 63) / 64 * 64; }

// Element-wise steps: one unit is a run of elements.
inline constexpr int64_t elements_per_unit = 16384;

inline int64_t element_units(int64_t elements) { return ceil_div(elements, elements_per_unit); }

// Calls function(first element, count) once for all the units [begin, end).
template <class Function>
void for_element_units(int64_t elements, int64_t begin, int64_t end, const Function& function) {
  const int64_t first = begin * elements_per_unit;
  const int64_t last = std::min(end * elements_per_unit, elements);
  if (first < last) function(first, last - first);
}

// A matrix of accumulators cut into tiles that stay in the L1 cache until they have become quantized values.
class TileGrid {
 public:
  struct Tile {
    int64_t row, rows, column, columns;
  };

  // row_bytes: what a compute kernel reads per row of a tile. copies: how many such matrices the step has.
  TileGrid(int64_t rows, int64_t columns, int64_t row_bytes, int64_t copies, int64_t threads)
      : rows_(rows), columns_(columns) {
    constexpr int64_t accumulators = 4096;  // 16 KiB
    constexpr int64_t gathered_bytes = 32768;
    column_tile_ = std::min<int64_t>(columns, 256);
    row_tile_ = std::min<int64_t>(accumulators / column_tile_, gathered_bytes / std::max<int64_t>(row_bytes, 1));
    row_tile_ = std::clamp<int64_t>(row_tile_ / 8 * 8, 8, 64);
    while (row_tile_ > 8 && copies * size() < 4 * threads) row_tile_ -= 8;
    row_tile_ = std::min(row_tile_, rows);
  }

  int64_t row_tile() const { return row_tile_; }
  int64_t column_tile() const { return column_tile_; }
  int64_t size() const { return ceil_div(rows_, row_tile_) * ceil_div(columns_, column_tile_); }

  Tile operator[](int64_t i) const {
    const int64_t across = ceil_div(columns_, column_tile_);
    const int64_t row = i / across * row_tile_;
    const int64_t column = i % across * column_tile_;
    return {row, std::min(row_tile_, rows_ - row), column, std::min(column_tile_, columns_ - column)};
  }

 private:
  int64_t rows_, columns_;
  int64_t row_tile_, column_tile_;
};

}  // namespace q8
