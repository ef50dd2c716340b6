// SPDX-License-Identifier: Apache-2.0
// The instruction sets a kernel may need.
#pragma once

#include <cstdint>

namespace q8 {

enum class Isa : uint8_t {
  reference,   // plain C++, any CPU
  avx2,        // AVX2 and FMA
  avxvnni,     // AVX2, FMA and AVX-VNNI
  avx512vnni,  // AVX2, FMA, AVX-512 F, BW, VL, DQ and VNNI
  dotprod,     // aarch64: the dot products of ARMv8.2, SDOT and UDOT
};

// Does a CPU that supports `isa` support `other`? All of its processor family that come before it (a table of kernels
// holds no others), but for AVX-VNNI: servers have AVX-512 VNNI without it.
constexpr bool includes(Isa isa, Isa other) {
  return other <= isa && !(isa == Isa::avx512vnni && other == Isa::avxvnni);
}

}  // namespace q8
