// SPDX-License-Identifier: Apache-2.0
// The family peak: what the multiply-add instruction of an ISA can do at best, on registers only. To be timed.
//
//   sum = 1 * 1 added up rounds * macs_per_round times, modulo 2^32
//
// So the result is the number of multiply-accumulates that were done.
#pragma once

#include <cstdint>

#include "kernels/kernel.h"

namespace q8 {

constexpr int64_t macs_per_round = 16384;

struct PeakArgs {
  int64_t rounds;
  int32_t* sum;
};

using PeakKernel = Kernel<PeakArgs>;

#define Q8_KERNEL(symbol, isa) void symbol(const PeakArgs& args);
#include "kernels/peak/kernels.inc"
#undef Q8_KERNEL

const PeakKernel& peak_kernel(Isa isa);

}  // namespace q8
