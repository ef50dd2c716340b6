// SPDX-License-Identifier: Apache-2.0
// The step kind concat: for each index of the dimensions before the axis, one block of bytes from every input.
#include <cstring>

#include "program/loaded_step.h"

namespace q8 {
namespace {

class Concat final : public LoadedStep {
 public:
  explicit Concat(StepReader& reader) {
    reader.require(reader.input_count() >= 1, "expected at least 1 input, found 0");
    reader.expect_counts(reader.input_count(), 1);
    const Buffer& y = reader.output();
    reader.require(!y.shape.empty(), "y must have at least 1 dimension");
    const size_t axis = static_cast<size_t>(reader.integer("axis", 0, static_cast<int64_t>(y.shape.size()) - 1));
    int64_t block = static_cast<int64_t>(dtype_bytes(y.dtype));  // bytes for each index along the axis
    for (size_t i = axis + 1; i < y.shape.size(); ++i) block *= y.shape[i];
    for (size_t i = 0; i < axis; ++i) outer_ *= y.shape[i];
    int64_t length = 0;
    for (size_t i = 0; i < reader.input_count(); ++i) {
      const Buffer& x = reader.input(i);
      reader.expect_dtype(x, y.dtype, "every input");
      Shape expected = y.shape;
      if (x.shape.size() == y.shape.size()) expected[axis] = x.shape[axis];
      reader.expect_shape(x, expected, "every input, apart from the axis,");
      length += x.shape[axis];
      bytes_.push_back(static_cast<size_t>(x.shape[axis] * block));
    }
    reader.require(length == y.shape[axis], "the inputs have ", length, " indices along the axis, y has ",
                   y.shape[axis]);
    reader.finish();
  }

  int64_t work(int) const override { return outer_; }
  std::string kernels() const override { return "concat"; }

  void run(int, int64_t begin, int64_t end, void*) const override {
    size_t row_bytes = 0;
    for (const size_t bytes : bytes_) row_bytes += bytes;
    for (size_t row = static_cast<size_t>(begin); row < static_cast<size_t>(end); ++row) {
      uint8_t* y = output<uint8_t>() + row * row_bytes;
      for (size_t i = 0; i < bytes_.size(); ++i) {
        std::memcpy(y, input<uint8_t>(i) + row * bytes_[i], bytes_[i]);
        y += bytes_[i];
      }
    }
  }

 private:
  int64_t outer_ = 1;
  std::vector<size_t> bytes_;  // of the block that each input gives
};

}  // namespace

std::unique_ptr<LoadedStep> load_concat(StepReader& reader, const LoadOptions&) {
  return std::make_unique<Concat>(reader);
}

}  // namespace q8
