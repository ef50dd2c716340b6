// SPDX-License-Identifier: Apache-2.0
// The memory of an executor: one allocation, planned part by part before it is made.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace q8 {

class Workspace {
 public:
  ~Workspace();

  // Plans a part of so many bytes and returns its offset, a multiple of 64.
  size_t place(size_t bytes);

  // The same without access to its bytes: the address sanitizer sees every access that open() does not allow.
  size_t place_closed(size_t bytes);
  void open(size_t offset, size_t bytes) { open_.push_back({offset, bytes}); }

  size_t bytes() const { return bytes_; }

  // Allocates what was planned, all bytes zero.
  void allocate();

  uint8_t* at(size_t offset) const { return memory_ + offset; }

 private:
  struct Part {
    size_t offset, bytes;
  };
  struct Free {
    void operator()(void* memory) const;
  };

  size_t bytes_ = 0;
  std::vector<Part> open_;
  std::unique_ptr<void, Free> allocation_;
  uint8_t* memory_ = nullptr;  // 64-byte aligned
};

}  // namespace q8
