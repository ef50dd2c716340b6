// SPDX-License-Identifier: Apache-2.0
// A tensor [A, C, B] with one parameter, or one for each of C, as runs of elements for a kernel.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/tensor.h"
#include "program/steps/units.h"

namespace q8 {

class ChannelRuns {
 public:
  struct Run {
    int64_t first;  // element
    int64_t count;
    int64_t parameter;  // of the first element
  };

  // shape is [A, C, B]; parameters is 1 or C.
  ChannelRuns(const Shape& shape, int64_t parameters)
      : size_(element_count(shape)), c_(shape[1]), b_(shape[2]), per_channel_(parameters > 1) {}

  // From element to element of a run, parameters advance by this.
  int64_t parameter_step() const { return per_channel_ && b_ == 1 ? 1 : 0; }

  int64_t units() const { return per_channel_ ? size_ / run_length() : element_units(size_); }

  Run operator[](int64_t unit) const {
    if (!per_channel_) {
      const int64_t first = unit * elements_per_unit;
      return {first, std::min(elements_per_unit, size_ - first), 0};
    }
    return {unit * run_length(), run_length(), b_ == 1 ? 0 : unit % c_};
  }

 private:
  int64_t run_length() const { return b_ == 1 ? c_ : b_; }

  int64_t size_, c_, b_;
  bool per_channel_;
};

}  // namespace q8
