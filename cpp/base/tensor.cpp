// SPDX-License-Identifier: Apache-2.0
// Shapes.
#include "base/tensor.h"

#include "base/error.h"

namespace q8 {

int64_t checked_mul(int64_t a, int64_t b) {
  int64_t product = 0;
  Q8_REQUIRE(!__builtin_mul_overflow(a, b, &product), "a size of ", a, " times ", b, " does not fit in 64 bits");
  return product;
}

int64_t element_count(const Shape& shape) {
  int64_t count = 1;
  for (const int64_t dim : shape) count = checked_mul(count, dim);
  return count;
}

std::string to_string(const Shape& shape) {
  std::string out = "[";
  for (size_t i = 0; i < shape.size(); ++i) out += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return out + "]";
}

std::string to_string(DType dtype, const Shape& shape) { return dtype_name(dtype) + to_string(shape); }

}  // namespace q8
