// SPDX-License-Identifier: Apache-2.0
// A table of 256 integers as a line, which SIMD computes faster than it looks up. Internal linkage, see rounding.h.
//
//   table[x] = wrap(c * slope + start) + floor((c * fraction + rest + (c >= from ? jump : 0)) / 2^22),  c = x ^ flip
//
// Products by a multiplier are such lines under every rounding of halves, in two stages too: floors of floors are
// floors. What rounds halves away from zero jumps where the sign changes.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>

#include "numerics/wrap.h"

namespace q8 {

struct Line {
  uint8_t flip;  // 0x80 for int8, so that c counts from the least value
  int32_t slope, start;
  int32_t fraction, rest;  // of 22 bits
  int32_t from, jump;      // 256 where there is none
};

static inline constexpr int32_t line_bits = 22;

static inline int32_t value_at(const Line& line, uint8_t x) {
  const int32_t c = x ^ line.flip;
  const int32_t below = c * line.fraction + line.rest + (c >= line.from ? line.jump : 0);
  return wrap(int64_t{c} * line.slope + line.start + (below >> line_bits));
}

// The values in the order of c, and where they are cut: a part has one addend.
struct CutTable {
  std::array<int64_t, 256> values;
  int64_t cut;
};

// Between these lie the slopes of all lines whose floors are the values [begin, end), narrowed from what is given.
static inline void narrow_slope(const CutTable& table, int64_t begin, int64_t end, double* low, double* high) {
  for (int64_t i = begin; i < end; ++i) {
    for (int64_t j = i + 1; j < end; ++j) {
      const double rise =
          static_cast<double>(table.values[static_cast<size_t>(j)] - table.values[static_cast<size_t>(i)]);
      const double run = static_cast<double>(j - i);
      *low = std::max(*low, (rise - 1) / run);
      *high = std::min(*high, (rise + 1) / run);
    }
  }
}

// The least addend with which c * slope, of 22 fraction bits, does not fall below a value; none if it then exceeds one.
static inline std::optional<int64_t> addend_of(const CutTable& table, int64_t begin, int64_t end, int64_t slope) {
  int64_t least = INT64_MIN, greatest = INT64_MAX;
  for (int64_t c = begin; c < end; ++c) {
    const int64_t needed = (table.values[static_cast<size_t>(c)] << line_bits) - c * slope;
    least = std::max(least, needed);
    greatest = std::min(greatest, needed + (int64_t{1} << line_bits) - 1);
  }
  if (least > greatest) return std::nullopt;
  return least;
}

static inline std::optional<Line> line_through(const CutTable& table, uint8_t flip) {
  double low = -std::numeric_limits<double>::infinity(), high = std::numeric_limits<double>::infinity();
  narrow_slope(table, 0, table.cut, &low, &high);
  narrow_slope(table, table.cut, 256, &low, &high);
  if (!(low < high)) return std::nullopt;
  const int64_t slope = std::llround(std::ldexp((low + high) / 2, line_bits));
  const std::optional<int64_t> first = addend_of(table, 0, table.cut, slope);
  const std::optional<int64_t> last = table.cut < 256 ? addend_of(table, table.cut, 256, slope) : first;
  if (!first || !last) return std::nullopt;
  const int64_t jump = *last - *first, mask = (int64_t{1} << line_bits) - 1;
  if (std::abs(jump) > mask) return std::nullopt;
  return Line{.flip = flip,
              .slope = wrap(slope >> line_bits),
              .start = wrap(*first >> line_bits),
              .fraction = static_cast<int32_t>(slope & mask),
              .rest = static_cast<int32_t>(*first & mask),
              .from = static_cast<int32_t>(table.cut),
              .jump = static_cast<int32_t>(jump)};
}

// The line of a table, whole or cut where the sign changes, if there is one.
static inline std::optional<Line> line_of(const int32_t* table, bool is_signed) {
  const uint8_t flip = is_signed ? 0x80 : 0;
  CutTable in_order{.values = {}, .cut = 256};
  for (size_t c = 0; c < 256; ++c) in_order.values[c] = table[c ^ flip];
  std::optional<Line> line = line_through(in_order, flip);
  if (!line) {
    const auto changes = [](int64_t a, int64_t b) { return (a < 0) != (b < 0); };
    const auto at = std::adjacent_find(in_order.values.begin(), in_order.values.end(), changes);
    if (at == in_order.values.end()) return std::nullopt;
    in_order.cut = at - in_order.values.begin() + 1;
    line = line_through(in_order, flip);
  }
  if (!line) return std::nullopt;
  for (int x = 0; x < 256; ++x) {
    if (value_at(*line, static_cast<uint8_t>(x)) != table[x]) return std::nullopt;
  }
  return line;
}

}  // namespace q8
