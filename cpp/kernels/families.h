// SPDX-License-Identifier: Apache-2.0
// All kernels of this build, from the lists.
#pragma once

#include <vector>

#include "kernels/lookup.h"

namespace q8 {

#define Q8_FAMILY(family) std::vector<KernelName> family##_kernels();
#include "kernels/families.inc"
#undef Q8_FAMILY

// Family after family, best ISA first.
inline std::vector<KernelName> all_kernels() {
  std::vector<KernelName> all;
#define Q8_FAMILY(family) \
  for (KernelName& name : family##_kernels()) all.push_back(std::move(name));
#include "kernels/families.inc"
#undef Q8_FAMILY
  return all;
}

}  // namespace q8
