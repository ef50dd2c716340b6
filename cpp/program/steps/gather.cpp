// SPDX-License-Identifier: Apache-2.0
// The step kind gather: every axis has a list of positions in x; -1 stands for the fill value.
#include <algorithm>

#include "program/loaded_step.h"

namespace q8 {
namespace {

class Gather final : public LoadedStep {
 public:
  explicit Gather(StepReader& reader) {
    reader.expect_counts(1, 1);
    const Buffer &x = reader.input(0), &y = reader.output();
    reader.expect_dtype(y, x.dtype, "y");
    reader.expect_rank(y, x.shape.size(), "y");
    reader.require(!x.shape.empty(), "x must have at least 1 dimension");
    element_bytes_ = dtype_bytes(x.dtype);
    fill_ = read_fill(reader, x.dtype);
    read_axes(reader, x.shape, y.shape);
    reader.finish();
  }

  int64_t work(int) const override { return rows_; }
  std::string kernels() const override { return "gather"; }

  void run(int, int64_t begin, int64_t end, void*) const override {
    if (element_bytes_ == 1) {
      gather_rows<uint8_t>(begin, end);
    } else {
      gather_rows<uint32_t>(begin, end);
    }
  }

 private:
  // The bits of the fill value.
  static uint32_t read_fill(StepReader& reader, DType dtype) {
    if (is_quantized(dtype)) return static_cast<uint8_t>(reader.zero_point("fill", dtype));
    return static_cast<uint32_t>(dtype == DType::s32 ? reader.integer("fill", INT32_MIN, INT32_MAX)
                                                     : reader.integer("fill", 0, UINT32_MAX));
  }

  // offsets_[axis][i] becomes the distance in x, or -1.
  void read_axes(StepReader& reader, const Shape& x, const Shape& y) {
    const Array& index = reader.array("index", DType::s64);
    int64_t expected = 0;
    for (const int64_t size : y) expected += size;
    reader.require(index.shape == Shape{expected}, "the array index must have the length ", expected,
                   ", found the shape ", to_string(index.shape));
    const std::vector<int64_t> positions = elements<int64_t>(index);
    auto next = positions.begin();
    int64_t stride = element_count(x);
    for (size_t axis = 0; axis < x.size(); ++axis) {
      stride /= x[axis];
      std::vector<int64_t>& offsets = offsets_.emplace_back(next, next + y[axis]);
      next += y[axis];
      for (int64_t& offset : offsets) {
        reader.require(offset >= -1 && offset < x[axis], "the array index must hold positions in [-1, ", x[axis] - 1,
                       "] for axis ", axis, ", found ", offset);
        if (offset > 0) offset *= stride;
      }
      if (axis + 1 < x.size()) rows_ *= y[axis];
    }
  }

  template <class T>
  void gather_rows(int64_t begin, int64_t end) const {
    const T fill = static_cast<T>(fill_);
    const std::vector<int64_t>& row = offsets_.back();
    const int64_t length = static_cast<int64_t>(row.size());
    for (int64_t number = begin; number < end; ++number) {
      const int64_t start = start_of(number);
      T* y = output<T>() + number * length;
      if (start < 0) {
        std::fill_n(y, length, fill);
        continue;
      }
      const T* x = input<T>(0) + start;
      for (int64_t i = 0; i < length; ++i)
        y[i] = row[static_cast<size_t>(i)] < 0 ? fill : x[row[static_cast<size_t>(i)]];
    }
  }

  // First element in x of a row of y, or -1 when the row lies outside.
  int64_t start_of(int64_t number) const {
    int64_t start = 0;
    for (size_t axis = offsets_.size() - 1; axis-- > 0;) {
      const int64_t size = static_cast<int64_t>(offsets_[axis].size());
      const int64_t offset = offsets_[axis][static_cast<size_t>(number % size)];
      if (offset < 0) return -1;
      start += offset;
      number /= size;
    }
    return start;
  }

  size_t element_bytes_;
  uint32_t fill_;
  int64_t rows_ = 1;
  std::vector<std::vector<int64_t>> offsets_;
};

}  // namespace

std::unique_ptr<LoadedStep> load_gather(StepReader& reader, const LoadOptions&) {
  return std::make_unique<Gather>(reader);
}

}  // namespace q8
