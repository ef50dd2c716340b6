// SPDX-License-Identifier: Apache-2.0
// The reciprocal of the fixed-point softmax. Internal linkage, see rounding.h. The definition is
// python/q8emu/numerics/fixed_point.py.
#pragma once

#include <algorithm>
#include <cstdint>

#include "numerics/multiplier.h"

namespace q8 {

// v * 2^n, saturated to int32.
static inline int32_t shifted_saturating(int32_t v, int32_t n) {
  return static_cast<int32_t>(std::clamp<int64_t>(int64_t{v} << n, INT32_MIN, INT32_MAX));
}

// 1 / (1 + a) in Q0.31 for a Q0.31 in [0, 1): three Newton steps in Q2.29.
static inline int32_t one_over_one_plus(int32_t a) {
  const int32_t half = static_cast<int32_t>((int64_t{a} + INT32_MAX + 1) / 2);
  int32_t x = wrap(int64_t{1515870810} + doubling_high_mul(half, -1010580540));  // 48/17 - 32/17 half
  for (int step = 0; step < 3; ++step) {
    const int32_t rest = wrap(int64_t{1 << 29} - doubling_high_mul(half, x));
    x = wrap(int64_t{x} + shifted_saturating(doubling_high_mul(x, rest), 2));
  }
  return shifted_saturating(x, 1);
}

}  // namespace q8
