// SPDX-License-Identifier: Apache-2.0
// A tensor whose axes change their order, as copies of rows or transposes of matrices.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/isa.h"
#include "base/tensor.h"
#include "kernels/transpose/transpose.h"

namespace q8 {

class Permutation {
 public:
  // Axis i of y is axis perm[i] of x; `perm` names each axis of x once.
  Permutation(const Shape& x, const std::vector<int64_t>& perm, size_t element_bytes, Isa isa);

  // The work in independent units, and those in [begin, end) of it.
  int64_t units() const { return units_; }
  void run(const void* x, void* y, int64_t begin, int64_t end) const;

  const char* kernel() const { return is_copy_ ? "copy" : kernel_->symbol; }

 private:
  struct Axis {
    int64_t size, x_stride, y_stride;
  };

  static std::vector<Axis> merged_axes(const Shape& x, const std::vector<int64_t>& perm);

  std::vector<Axis> outer_;  // the axes around the row or the matrix, outermost first
  bool is_copy_;             // rows that are contiguous in x and in y
  Axis across_{1, 0, 0};     // of the matrix: contiguous in x
  Axis along_{1, 1, 1};      // contiguous in y
  int64_t element_bytes_;
  int64_t units_ = 1;
  const TransposeKernel* kernel_;
};

}  // namespace q8
