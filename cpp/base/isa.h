// SPDX-License-Identifier: Apache-2.0
// The instruction sets a kernel may need. A CPU that supports one supports all of its processor family before it.
#pragma once

#include <cstdint>

namespace q8 {

enum class Isa : uint8_t {
  reference,   // plain C++, any CPU
  avx2,        // AVX2 and FMA
  avx512vnni,  // AVX-512 F, BW, VL, DQ and VNNI
  dotprod,     // aarch64: the dot products of ARMv8.2, SDOT and UDOT
};

}  // namespace q8
