// SPDX-License-Identifier: Apache-2.0
// What every kernel family shares. A family is a folder: kernels.inc lists its kernels, best ISA first and the
// reference kernel last, one line Q8_KERNEL(symbol, isa) each; <family>.h is the contract; the other files are named
// after the ISA. Kernels never allocate, throw, print or ask the CPU. All kernels of a family give the same bits.
#pragma once

#include "base/isa.h"

namespace q8 {

// An entry of the table of a family whose contract is one function.
template <class Args>
struct Kernel {
  Isa isa;
  const char* symbol;
  void (*run)(const Args&);
};

}  // namespace q8
