// SPDX-License-Identifier: Apache-2.0
// binary32 as bits, and the floating point environment that the arithmetic is defined in.
#pragma once

#include <bit>
#include <cfenv>
#include <cstdint>

namespace q8 {

static_assert(sizeof(float) == 4, "float is not binary32");

inline float f32_from_bits(uint32_t bits) { return std::bit_cast<float>(bits); }

// While it lives, this thread rounds to nearest even and keeps subnormal numbers, whatever the process has set.
// (A library built with -ffast-math may have switched them off for every thread.)
class DefaultFloatEnvironment {
 public:
  DefaultFloatEnvironment() {
    std::fegetenv(&saved_);
    std::fesetenv(FE_DFL_ENV);
  }
  ~DefaultFloatEnvironment() { std::fesetenv(&saved_); }
  DefaultFloatEnvironment(const DefaultFloatEnvironment&) = delete;
  DefaultFloatEnvironment& operator=(const DefaultFloatEnvironment&) = delete;

 private:
  std::fenv_t saved_;
};

}  // namespace q8
