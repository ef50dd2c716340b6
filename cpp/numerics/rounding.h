// SPDX-License-Identifier: Apache-2.0
// Rounding rules and saturation of binary32 and binary64 values. No other file rounds a float to an integer, except the
// SIMD kernels, which do the same with one instruction. Internal linkage: kernels of every ISA include this file.
#pragma once

#include <cassert>
#include <cstdint>

namespace q8 {

// v limited to [low, high]; a NaN becomes low.
static inline float saturate(float v, float low, float high) {
  const float not_below = v > low ? v : low;  // false for a NaN
  return not_below < high ? not_below : high;
}

static inline double saturate(double v, double low, double high) {
  const double not_below = v > low ? v : low;
  return not_below < high ? not_below : high;
}

// The nearest integer, ties to the even one, for |v| <= 2^22.
// Around 1.5 * 2^23 neighbouring floats are 1 apart, so the addition itself drops the fraction, under the rounding of
// the machine: to nearest even. The subtraction is exact.
static inline int32_t half_even(float v) {
  assert(v >= -4194304.0f && v <= 4194304.0f);
  const float magic = 12582912.0f;
  const float sum = v + magic;
  return static_cast<int32_t>(sum - magic);
}

// The same of a binary64 value: neighbours around 1.5 * 2^52 are 1 apart.
static inline int32_t half_even(double v) {
  assert(v >= -4194304.0 && v <= 4194304.0);
  const double magic = 6755399441055744.0;
  const double sum = v + magic;
  return static_cast<int32_t>(sum - magic);
}

}  // namespace q8
