// SPDX-License-Identifier: Apache-2.0
// Shapes, and a view of a C-contiguous tensor that owns nothing.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/dtype.h"

namespace q8 {

using Shape = std::vector<int64_t>;  // at most max_rank dimensions, each at least 1

inline constexpr int max_rank = 8;

// Product of two sizes; throws when it does not fit.
int64_t checked_mul(int64_t a, int64_t b);

// Number of elements; throws when it does not fit.
int64_t element_count(const Shape& shape);

// "int8[1, 2, 3]"
std::string to_string(const Shape& shape);
std::string to_string(DType dtype, const Shape& shape);

struct TensorView {
  DType dtype;
  Shape shape;
  void* data;
};

}  // namespace q8
