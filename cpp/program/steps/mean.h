// SPDX-License-Identifier: Apache-2.0
// What the steps of the family mean share: x[outer, R, inner], and how y[outer, inner] is cut into units of work.
#pragma once

#include "program/step_reader.h"
#include "program/steps/units.h"

namespace q8 {

inline Buffer check_mean(const StepReader& reader) {
  reader.expect_counts(1, 1);
  const Buffer& x = reader.input(0);
  reader.expect_quantized(x, "x");
  reader.expect_rank(x, 3, "x");
  reader.expect_quantized(reader.output(), "y");
  reader.expect_shape(reader.output(), {x.shape[0], x.shape[2]}, "y");
  return x;
}

// Many rows of few columns at once.
inline TileGrid mean_tiles(const Buffer& x, int64_t threads) {
  constexpr TileLimits limits{.rows = 1024, .columns = 1024, .bytes = 256 << 10};
  const TileGrid::Matrix y{.rows = x.shape[0],
                           .columns = x.shape[2],
                           .line = 1,
                           .row_bytes = checked_mul(x.shape[1], x.shape[2]),
                           .copies = 1};
  return {y, limits, threads};
}

}  // namespace q8
