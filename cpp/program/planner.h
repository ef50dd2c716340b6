// SPDX-License-Identifier: Apache-2.0
// Where each buffer lives: constants in memory that all share, the others in the memory of a lane, where buffers whose
// lives do not overlap may share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "program/program.h"

namespace q8 {

// Unused bytes behind each part of the memory. Under the address sanitizer the executor poisons them.
#ifdef __SANITIZE_ADDRESS__
inline constexpr size_t memory_guard_bytes = 64;
#else
inline constexpr size_t memory_guard_bytes = 0;
#endif

struct MemoryPlan {
  std::vector<size_t> offsets;      // by buffer number, multiples of 64; of constants within the shared memory
  std::vector<bool> kept;           // by buffer number: shares its memory with no other
  std::vector<int64_t> written_by;  // by buffer number: the step, or -1
  size_t shared_bytes = 0;
  size_t lane_bytes = 0;
};

// Checks how the steps use the buffers, then places them. A buffer is kept if it is listed in `keep`, if it is
// constant, if no step of the core writes it, or if a host step reads or writes it.
MemoryPlan plan_memory(const Program& program, const std::vector<int64_t>& keep);

}  // namespace q8
