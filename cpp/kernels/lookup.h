// SPDX-License-Identifier: Apache-2.0
// How a family finds a kernel in its table. Included by reference.cpp of each family, which holds the table.
#pragma once

#include <string>
#include <vector>

#include "base/isa.h"

namespace q8 {

struct KernelName {
  Isa isa;
  std::string symbol;
};

// The best kernel that needs no more than `isa` includes. Tables are best first and end with the reference kernel.
template <class Entry, int count>
const Entry& best_kernel(const Entry (&table)[count], Isa isa) {
  static_assert(count > 0);
  for (const Entry& entry : table) {
    if (includes(isa, entry.isa)) return entry;
  }
  return table[count - 1];
}

template <class Entry, int count>
std::vector<KernelName> kernel_names(const Entry (&table)[count]) {
  std::vector<KernelName> names;
  for (const Entry& entry : table) names.push_back({entry.isa, entry.symbol});
  return names;
}

}  // namespace q8

// Defines the two functions by which the rest of the core sees a family: <family>_kernel and <family>_kernels.
#define Q8_DEFINE_LOOKUP(family, Entry)                                     \
  const Entry& family##_kernel(Isa isa) { return best_kernel(table, isa); } \
  std::vector<KernelName> family##_kernels() { return kernel_names(table); }
