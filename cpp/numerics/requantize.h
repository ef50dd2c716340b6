// SPDX-License-Identifier: Apache-2.0
// How a real value becomes a quantized one: the only such place in scalar C++. Internal linkage, see rounding.h.
#pragma once

#include <cmath>
#include <cstdint>

#include "base/dtype.h"
#include "numerics/multiplier.h"
#include "numerics/rounding.h"
#include "numerics/wrap.h"

namespace q8 {

// What a quantized value must fulfil: dmin <= qmin <= qmax <= dmax and dmin <= zero_point <= dmax of its dtype.
struct QuantizedRange {
  int32_t zero_point;
  int32_t qmin;  // bounds of the fused activation
  int32_t qmax;
  DType dtype;
};

static inline int32_t clamp(int32_t q, int32_t qmin, int32_t qmax) { return q < qmin ? qmin : q > qmax ? qmax : q; }

// y = clamp(half_even(v saturated to [dmin - zp, dmax - zp]) + zp, qmin, qmax): the zero point is added to the integer.
static inline int32_t quantize_outside(float v, const QuantizedRange& y) {
  const float low = static_cast<float>(dtype_min(y.dtype) - y.zero_point);
  const float high = static_cast<float>(dtype_max(y.dtype) - y.zero_point);
  return clamp(half_even(saturate(v, low, high)) + y.zero_point, y.qmin, y.qmax);
}

// y = clamp(half_even(v saturated to [dmin, dmax]), qmin, qmax): v contains the zero point, so it decides ties. Behind
// a conversion to int32 as x86-64 does it: from 2^31 on, and for a NaN, it gives -2^31, which saturates to the least
// value.
static inline int32_t quantize_inside(float v, const QuantizedRange& y) {
  if (!(v < 2147483648.0f)) return y.qmin;
  const float low = static_cast<float>(dtype_min(y.dtype));
  const float high = static_cast<float>(dtype_max(y.dtype));
  return clamp(half_even(saturate(v, low, high)), y.qmin, y.qmax);
}

// As quantize_inside, but what is too large becomes the greatest value.
static inline int32_t quantize_inside_saturating(float v, const QuantizedRange& y) {
  const float low = static_cast<float>(dtype_min(y.dtype));
  const float high = static_cast<float>(dtype_max(y.dtype));
  return clamp(half_even(saturate(v, low, high)), y.qmin, y.qmax);
}

// As quantize_outside behind a conversion to int32 as x86-64 does it: from 2^31 on, v gives -2^31.
static inline int32_t quantize_converted(float v, const QuantizedRange& y) {
  return v < 2147483648.0f ? quantize_outside(v, y) : y.qmin;
}

// As quantize_outside, of a binary64 value.
static inline int32_t quantize_outside_f64(double v, const QuantizedRange& y) {
  const double low = dtype_min(y.dtype) - y.zero_point;
  const double high = dtype_max(y.dtype) - y.zero_point;
  return clamp(half_even(saturate(v, low, high)) + y.zero_point, y.qmin, y.qmax);
}

// Turn an accumulator into a quantized value: v = f32(f32(acc) * scale), zero point outside.
static inline int32_t requantize(int32_t acc, float scale, const QuantizedRange& y) {
  return quantize_outside(static_cast<float>(acc) * scale, y);
}

// The same from a rounded integer: the zero point is added, the sum wraps.
static inline int32_t with_zero_point(int32_t q, const QuantizedRange& y) {
  return clamp(wrap(int64_t{q} + y.zero_point), y.qmin, y.qmax);
}

// v = f64(f64(acc) * scale) to the nearest integer, ties away from zero; -2^31 beyond int32.
static inline int32_t requantize_float64(int32_t acc, double scale, const QuantizedRange& y) {
  const double nearest = std::round(static_cast<double>(acc) * scale);
  const bool fits = nearest >= -2147483648.0 && nearest <= 2147483647.0;
  return with_zero_point(fits ? static_cast<int32_t>(nearest) : INT32_MIN, y);
}

// As quantize_outside, ties away from zero.
static inline int32_t quantize_outside_away(double v, const QuantizedRange& y) {
  const double low = dtype_min(y.dtype) - y.zero_point;
  const double high = dtype_max(y.dtype) - y.zero_point;
  return clamp(static_cast<int32_t>(std::round(saturate(v, low, high))) + y.zero_point, y.qmin, y.qmax);
}

}  // namespace q8
