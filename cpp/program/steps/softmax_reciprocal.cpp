// SPDX-License-Identifier: Apache-2.0
// The step kind softmax_reciprocal: one unit of work for each vector along the middle dimension.
#include "kernels/softmax_reciprocal/softmax_reciprocal.h"

#include "base/f32.h"
#include "program/loaded_step.h"

namespace q8 {
namespace {

class SoftmaxReciprocal final : public LoadedStep {
 public:
  SoftmaxReciprocal(StepReader& reader, const LoadOptions& options) : kernel_(softmax_reciprocal_kernel(options.isa)) {
    reader.expect_counts(1, 1);
    const Buffer &x = reader.input(0), &y = reader.output();
    reader.expect_quantized(x, "x");
    reader.expect_quantized(y, "y");
    reader.expect_rank(x, 3, "x");
    reader.expect_shape(y, x.shape, "y");
    shape_ = x.shape;
    read_table(reader);
    args_.x_dtype = x.dtype;
    args_.depth = shape_[1];
    args_.stride = shape_[2];
    args_.table = table_.data();
    args_.range = reader.bounds(y.dtype);
    reader.finish();
  }

  int64_t work(int) const override { return shape_[0] * shape_[2]; }
  std::string kernels() const override { return kernel_.symbol; }

  void run(int, int64_t begin, int64_t end, void*) const override {
    SoftmaxReciprocalArgs args = args_;
    for (int64_t unit = begin; unit < end; ++unit) {
      const int64_t first = unit / shape_[2] * shape_[1] * shape_[2] + unit % shape_[2];
      args.x = input<uint8_t>(0) + first;
      args.y = output<uint8_t>() + first;
      kernel_.run(args);
    }
  }

 private:
  void read_table(StepReader& reader) {
    const Array& table = reader.array("table", DType::u32);
    reader.require(table.shape == Shape{256}, "the array table must have the length 256, found the shape ",
                   to_string(table.shape));
    for (const uint32_t bits : elements<uint32_t>(table)) {
      table_.push_back(f32_from_bits(bits));
      reader.require(table_.back() >= 0.0f && table_.back() <= 1.0f,
                     "the array table must hold the bits of float32 in [0, 1], found ", table_.back());
    }
    reader.require(table_.back() == 1.0f, "the last entry of the array table must be 1, found ", table_.back());
  }

  const SoftmaxReciprocalKernel& kernel_;
  Shape shape_;
  std::vector<float> table_;
  SoftmaxReciprocalArgs args_{};  // all but the pointers
};

}  // namespace

std::unique_ptr<LoadedStep> load_softmax_reciprocal(StepReader& reader, const LoadOptions& options) {
  return std::make_unique<SoftmaxReciprocal>(reader, options);
}

}  // namespace q8
