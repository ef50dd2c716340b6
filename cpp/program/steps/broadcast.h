// SPDX-License-Identifier: Apache-2.0
// Two operands of the same rank, broadcast by the rules of NumPy, as runs along which each one advances or stays.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "program/step_reader.h"

namespace q8 {

class Broadcast {
 public:
  // Checks that inputs 0 and 1 broadcast to output 0.
  explicit Broadcast(const StepReader& reader);

  int64_t size() const { return size_; }                    // elements of y
  int64_t a_step() const { return axes_.back().a_stride; }  // along a run: 0 or 1
  int64_t b_step() const { return axes_.back().b_stride; }

  // Calls function(a, b, y, count) with the first elements of each run of the elements [first, first + count) of y.
  template <class Function>
  void for_each_run(int64_t first, int64_t count, const Function& function) const {
    const int64_t length = axes_.back().size;
    for (int64_t y = first; y < first + count;) {
      const int64_t along = y % length;
      const int64_t run = std::min(length - along, first + count - y);
      const Starts starts = starts_of(y / length);
      function(starts.a + along * a_step(), starts.b + along * b_step(), y, run);
      y += run;
    }
  }

 private:
  struct Axis {
    int64_t size, a_stride, b_stride;
  };
  struct Starts {
    int64_t a, b;
  };

  Starts starts_of(int64_t run) const;

  int64_t size_;
  std::vector<Axis> axes_;  // neighbours that advance together are merged; the last one has strides of 0 or 1
};

}  // namespace q8
