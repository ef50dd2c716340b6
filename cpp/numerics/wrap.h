// SPDX-License-Identifier: Apache-2.0
// int32 arithmetic that leaves the range wraps modulo 2^32: on purpose, and only through this function.
#pragma once

#include <cstdint>

namespace q8 {

// The int32 that is equal to value modulo 2^32.
static inline int32_t wrap(int64_t value) { return static_cast<int32_t>(static_cast<uint32_t>(value)); }

}  // namespace q8
