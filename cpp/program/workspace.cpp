// SPDX-License-Identifier: Apache-2.0
// The memory of an executor.
#include "program/workspace.h"

#include <cstdlib>

#include "base/error.h"
#include "program/planner.h"
#include "program/steps/units.h"
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

namespace q8 {

void Workspace::Free::operator()(void* memory) const { std::free(memory); }

Workspace::~Workspace() {
#ifdef __SANITIZE_ADDRESS__
  if (memory_ != nullptr) __asan_unpoison_memory_region(memory_, bytes_);
#endif
}

size_t Workspace::place(size_t bytes) {
  const size_t offset = place_closed(bytes);
  open(offset, bytes);
  return offset;
}

size_t Workspace::place_closed(size_t bytes) {
  const size_t offset = bytes_;
  Q8_REQUIRE(
      bytes < SIZE_MAX / 8 && !__builtin_add_overflow(offset, round_up_to_64(bytes + memory_guard_bytes), &bytes_),
      "the Program does not fit in 64 bits");
  return offset;
}

void Workspace::allocate() {
  allocation_.reset(std::calloc(bytes_ + 64, 1));
  Q8_REQUIRE(allocation_ != nullptr, "could not allocate ", bytes_, " bytes");
  const uintptr_t address = reinterpret_cast<uintptr_t>(allocation_.get());
  memory_ = static_cast<uint8_t*>(allocation_.get()) + (64 - address % 64);
#ifdef __SANITIZE_ADDRESS__
  __asan_poison_memory_region(memory_, bytes_);
  for (const Part& part : open_) __asan_unpoison_memory_region(memory_ + part.offset, part.bytes);
#endif
}

}  // namespace q8
