// SPDX-License-Identifier: Apache-2.0
// Requantization by a multiplier and a total right shift: integer rounding, one function per rule. Internal linkage,
// see rounding.h. The definition is python/q8emu/numerics/multiplier.py.
#pragma once

#include <algorithm>
#include <cstdint>

#include "numerics/wrap.h"

namespace q8 {

// v / 2^n to the nearest integer, ties toward +infinity, for |v| <= 2^62 and n in [0, 62].
static inline int64_t half_up(int64_t v, int32_t n) { return n == 0 ? v : (v + (int64_t{1} << (n - 1))) >> n; }

// v / 2^n to the nearest integer, ties away from zero, for |v| <= 2^62 and n in [0, 62].
static inline int64_t half_away(int64_t v, int32_t n) {
  return n == 0 ? v : (v + (int64_t{1} << (n - 1)) - (v < 0)) >> n;
}

// v / count to the nearest integer, ties away from zero: the division drops the fraction.
static inline int64_t half_away_quotient(int64_t v, int64_t count) {
  return (v > 0 ? v + count / 2 : v - count / 2) / count;
}

// half_up(a * b / 2^31); the one product beyond int32 saturates.
static inline int32_t doubling_high_mul(int32_t a, int32_t b) {
  return static_cast<int32_t>(std::min<int64_t>(half_up(int64_t{a} * b, 31), INT32_MAX));
}

// The values are those of the parameter `requantize` in docs/steps.md.
enum class MultiplierRule : int32_t { double_rounding = 1, ruy_x86 = 2, single_rounding = 3 };

// What the left part of a shift does before the multiplication; it wraps.
static inline int32_t shifted_left(int32_t acc, int32_t shift) { return wrap(int64_t{acc} << std::max(31 - shift, 0)); }

// For multiplier in [0, 2^31) and shift in [1, 62].
static inline int32_t rescale(int32_t acc, MultiplierRule rule, int32_t multiplier, int32_t shift) {
  const int32_t rest = std::max(shift - 31, 0);
  switch (rule) {
    case MultiplierRule::double_rounding:
      return static_cast<int32_t>(half_away(doubling_high_mul(shifted_left(acc, shift), multiplier), rest));
    case MultiplierRule::ruy_x86:
      return static_cast<int32_t>(half_up(doubling_high_mul(shifted_left(acc, shift), multiplier), rest));
    default:
      return wrap(half_up(int64_t{acc} * multiplier, shift));
  }
}

}  // namespace q8
