// SPDX-License-Identifier: Apache-2.0
// The step kind transpose: rows of y, each read from x with one stride.
#include <algorithm>

#include "program/loaded_step.h"

namespace q8 {
namespace {

struct Axis {
  int64_t size;
  int64_t x_stride;
};

// The axes of y. Neighbours that are neighbours in x as well become one.
std::vector<Axis> merged_axes(const Shape& x_shape, const std::vector<int64_t>& perm) {
  std::vector<int64_t> strides(x_shape.size(), 1);
  for (size_t i = x_shape.size(); i-- > 1;) strides[i - 1] = strides[i] * x_shape[i];
  std::vector<Axis> axes;
  for (const int64_t from : perm) {
    const Axis axis{x_shape[static_cast<size_t>(from)], strides[static_cast<size_t>(from)]};
    if (axis.size == 1) continue;
    if (!axes.empty() && axes.back().x_stride == axis.size * axis.x_stride) {
      axes.back() = {axes.back().size * axis.size, axis.x_stride};
    } else {
      axes.push_back(axis);
    }
  }
  if (axes.empty()) axes.push_back({1, 1});
  return axes;
}

class Transpose final : public LoadedStep {
 public:
  explicit Transpose(StepReader& reader) {
    reader.expect_counts(1, 1);
    const Buffer &x = reader.input(0), &y = reader.output();
    const size_t rank = x.shape.size();
    reader.expect_dtype(y, x.dtype, "y");
    const std::vector<int64_t> perm = reader.integers("perm", rank, 0, static_cast<int64_t>(rank) - 1);
    Shape expected;
    std::vector<bool> seen(rank, false);
    for (const int64_t from : perm) {
      reader.require(!seen[static_cast<size_t>(from)], "perm must name each axis once, found ", from, " twice");
      seen[static_cast<size_t>(from)] = true;
      expected.push_back(x.shape[static_cast<size_t>(from)]);
    }
    reader.expect_shape(y, expected, "y");
    element_bytes_ = dtype_bytes(x.dtype);
    rows_ = merged_axes(x.shape, perm);
    row_ = rows_.back();
    rows_.pop_back();
    reader.finish();
  }

  int64_t work(int) const override {
    int64_t rows = 1;
    for (const Axis& axis : rows_) rows *= axis.size;
    return rows;
  }
  std::string kernels() const override { return "transpose"; }

  void run(int, int64_t begin, int64_t end, void*) const override {
    if (element_bytes_ == 1) {
      copy_rows<uint8_t>(begin, end);
    } else {
      copy_rows<uint32_t>(begin, end);
    }
  }

 private:
  template <class T>
  void copy_rows(int64_t begin, int64_t end) const {
    for (int64_t number = begin; number < end; ++number) {
      const T* x = input<T>(0) + start_of(number);
      T* y = output<T>() + number * row_.size;
      for (int64_t i = 0; i < row_.size; ++i) y[i] = x[i * row_.x_stride];
    }
  }

  // First element in x of a row of y.
  int64_t start_of(int64_t number) const {
    int64_t start = 0;
    for (size_t i = rows_.size(); i-- > 0;) {
      start += number % rows_[i].size * rows_[i].x_stride;
      number /= rows_[i].size;
    }
    return start;
  }

  size_t element_bytes_;
  std::vector<Axis> rows_;  // all axes of y but the last
  Axis row_;
};

}  // namespace

std::unique_ptr<LoadedStep> load_transpose(StepReader& reader, const LoadOptions&) {
  return std::make_unique<Transpose>(reader);
}

}  // namespace q8
