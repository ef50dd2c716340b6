// SPDX-License-Identifier: Apache-2.0
// What the softmax steps share: one unit of work for each vector along the middle dimension, and a table of 256.
#pragma once

#include <string>
#include <vector>

#include "base/f32.h"
#include "kernels/kernel.h"
#include "program/loaded_step.h"

namespace q8 {

// The constructor of a step fills in the rest of args_.
template <class Args>
class SoftmaxStep : public LoadedStep {
 public:
  int64_t work(int) const override { return shape_[0] * shape_[2]; }
  std::string kernels() const override { return kernel_.symbol; }

  void run(int, int64_t begin, int64_t end, void*) const override {
    Args args = args_;
    for (int64_t unit = begin; unit < end; ++unit) {
      const int64_t first = unit / shape_[2] * shape_[1] * shape_[2] + unit % shape_[2];
      args.x = input<uint8_t>(0) + first;
      args.y = output<uint8_t>() + first;
      kernel_.run(args);
    }
  }

 protected:
  SoftmaxStep(const StepReader& reader, const Kernel<Args>& kernel) : kernel_(kernel) {
    reader.expect_counts(1, 1);
    const Buffer &x = reader.input(0), &y = reader.output();
    reader.expect_quantized(x, "x");
    reader.expect_quantized(y, "y");
    reader.expect_rank(x, 3, "x");
    reader.expect_shape(y, x.shape, "y");
    shape_ = x.shape;
    args_.x_dtype = x.dtype;
    args_.depth = shape_[1];
    args_.stride = shape_[2];
  }

  // float32[256] from bit patterns.
  static std::vector<float> float_table(StepReader& reader) {
    const Array& table = reader.array("table", DType::u32);
    reader.require(table.shape == Shape{256}, "the array table must have the length 256, found the shape ",
                   to_string(table.shape));
    std::vector<float> values;
    for (const uint32_t bits : elements<uint32_t>(table)) values.push_back(f32_from_bits(bits));
    return values;
  }

  Args args_{};  // all but the vectors

 private:
  const Kernel<Args>& kernel_;
  Shape shape_;
};

}  // namespace q8
