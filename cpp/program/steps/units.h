// SPDX-License-Identifier: Apache-2.0
// How the work of a step is cut into independent units.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/isa.h"

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

// What suits the compute kernels of an ISA. Those with vectors copy their input once and want it, and the weights of
// the columns, to stay in the L2 cache; the reference kernels read it where it is.
struct TileLimits {
  int64_t rows, columns, bytes;
};

inline TileLimits tile_limits(Isa isa) {
  if (isa == Isa::reference) return {.rows = 64, .columns = 256, .bytes = 32 << 10};
  return {.rows = 256, .columns = 64, .bytes = 256 << 10};
}

// A matrix of accumulators cut into tiles that stay in the L1 cache until they have become quantized values. Tiles of
// the same columns follow each other: they share their weights.
class TileGrid {
 public:
  struct Tile {
    int64_t row, rows, column, columns;
  };

  struct Matrix {
    int64_t rows, columns;
    int64_t line;       // rows that belong together: a line of pixels
    int64_t row_bytes;  // that a row of the product depends on
    int64_t copies;     // how many such matrices the step has
  };

  TileGrid(const Matrix& matrix, const TileLimits& limits, int64_t threads)
      : rows_(matrix.rows), columns_(matrix.columns) {
    constexpr int64_t accumulators = 4096;  // 16 KiB
    column_tile_ = std::min(columns_, limits.columns);
    row_tile_ = std::min(accumulators / column_tile_, limits.bytes / std::max<int64_t>(matrix.row_bytes, 1));
    row_tile_ = std::clamp<int64_t>(row_tile_ / 8 * 8, 8, limits.rows);
    while (row_tile_ > 8 && matrix.copies * size() < 4 * threads) row_tile_ -= 8;
    if (row_tile_ > matrix.line) row_tile_ -= row_tile_ % matrix.line;
    row_tile_ = std::min(row_tile_, rows_);
  }

  int64_t row_tile() const { return row_tile_; }
  int64_t column_tile() const { return column_tile_; }
  int64_t size() const { return ceil_div(rows_, row_tile_) * ceil_div(columns_, column_tile_); }

  Tile operator[](int64_t i) const {
    const int64_t down = ceil_div(rows_, row_tile_);
    const int64_t row = i % down * row_tile_;
    const int64_t column = i / down * column_tile_;
    return {row, std::min(row_tile_, rows_ - row), column, std::min(column_tile_, columns_ - column)};
  }

 private:
  int64_t rows_, columns_;
  int64_t row_tile_, column_tile_;
};

}  // namespace q8
