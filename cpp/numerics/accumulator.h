// SPDX-License-Identifier: Apache-2.0
// Sums of products narrower than int32. Internal linkage, see rounding.h.
#pragma once

#include <algorithm>
#include <cstdint>

#include "numerics/wrap.h"

namespace q8 {

// The values are those of the parameter `overflow` in docs/steps.md.
enum class Overflow : int32_t { wrap, saturate };

// value modulo 2^bits in two's complement, for bits in [1, 32]. A sum may be narrowed at its end: that is modular.
static inline int32_t wrapped_to(int32_t value, int32_t bits) {
  return static_cast<int32_t>(static_cast<uint32_t>(value) << (32 - bits)) >> (32 - bits);
}

// acc + product. It wraps modulo 2^32; or, unless saturated_bits is 0, saturates to so many bits.
static inline int32_t accumulated(int32_t acc, int64_t product, int32_t saturated_bits) {
  if (saturated_bits == 0) return wrap(acc + product);
  const int64_t limit = int64_t{1} << (saturated_bits - 1);
  return static_cast<int32_t>(std::clamp(acc + product, -limit, limit - 1));
}

// What a sum of two products gains, or loses, when it saturates to int16 before it is added.
static inline int32_t pair_excess(int32_t pair) { return std::clamp(pair, -32768, 32767) - pair; }

}  // namespace q8
