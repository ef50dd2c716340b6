// SPDX-License-Identifier: Apache-2.0
// Every rounding rule on integers, and requantization by a multiplier and a shift in one or two stages of them.
// Internal linkage, see rounding.h. The definition is python/q8emu/numerics/rounding.py and multiplier.py.
#pragma once

#include <algorithm>
#include <cassert>
#include <cstdint>

#include "numerics/requantize.h"

namespace q8 {

// The values are those of the parameters `rounding` and `first_rounding` in docs/steps.md.
enum class IntegerRounding : int32_t {
  half_even,
  half_up,
  half_away,
  half_down,
  half_to_zero,
  floor,
  ceil,
  toward_zero,
  to_odd,
  hwguide,
};

inline constexpr int32_t last_integer_rounding = static_cast<int32_t>(IntegerRounding::hwguide);

struct StagedRule {
  int32_t first_shift;  // 0: one stage
  IntegerRounding first_rounding;
  IntegerRounding rounding;
  bool saturates;  // or wraps: intermediate values beyond int32, and the sum with the zero point
};

// v / 2^n to an integer, for |v| <= 2^62 and n in [0, 62]: the floor, and one more or less where the rule says so.
static inline int64_t rounded(int64_t v, IntegerRounding rule, int32_t n) {
  assert(n >= 0 && n <= 62);
  if (n == 0) return v;
  const int64_t floor = v >> n;
  const int64_t rest = v & ((int64_t{1} << n) - 1), half = int64_t{1} << (n - 1);
  switch (rule) {
    case IntegerRounding::half_even:
      return floor + (rest > half || (rest == half && floor % 2 != 0));
    case IntegerRounding::half_up:
      return floor + (rest >= half);
    case IntegerRounding::half_away:
      return floor + (rest > half || (rest == half && v >= 0));
    case IntegerRounding::half_down:
      return floor + (rest > half);
    case IntegerRounding::half_to_zero:
      return floor + (rest > half || (rest == half && v < 0));
    case IntegerRounding::floor:
      return floor;
    case IntegerRounding::ceil:
      return floor + (rest != 0);
    case IntegerRounding::toward_zero:
      return floor + (rest != 0 && v < 0);
    case IntegerRounding::to_odd:
      return floor | static_cast<int64_t>(rest != 0);
    default:  // hwguide
      return (v >= 0 ? v + half : v - half) >> n;
  }
}

static inline int64_t limited(int64_t v, bool saturates) {
  return saturates ? std::clamp<int64_t>(v, INT32_MIN, INT32_MAX) : wrap(v);
}

// For multiplier in [0, 2^31), shift in [-31, 62] and multiplier * 2^-shift at most 2^31.
static inline int64_t rescale_staged(int32_t acc, const StagedRule& rule, int32_t multiplier, int32_t shift) {
  const int32_t left = std::max(rule.first_shift - shift, 0), rest = std::max(shift - rule.first_shift, 0);
  if (rule.first_shift == 0) {
    const int64_t product = (int64_t{acc} * multiplier) << left;
    return limited(rounded(product, rule.rounding, rest), rule.saturates);
  }
  const int64_t shifted = limited(int64_t{acc} << left, rule.saturates);
  const int64_t high = rounded(shifted * multiplier, rule.first_rounding, rule.first_shift);
  return rounded(limited(high, rule.saturates), rule.rounding, rest);
}

// Turn an accumulator into a quantized value.
static inline int32_t requantize_staged(int32_t acc, const StagedRule& rule, int32_t multiplier, int32_t shift,
                                        const QuantizedRange& y) {
  const int64_t q = rescale_staged(acc, rule, multiplier, shift) + y.zero_point;
  return clamp(static_cast<int32_t>(limited(q, rule.saturates)), y.qmin, y.qmax);
}

}  // namespace q8
