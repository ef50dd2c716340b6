// SPDX-License-Identifier: Apache-2.0
// The step kind softmax_fixed: one unit of work for each vector along the middle dimension.
#include "kernels/softmax_fixed/softmax_fixed.h"

#include <algorithm>

#include "program/loaded_step.h"

namespace q8 {
namespace {

class SoftmaxFixed final : public LoadedStep {
 public:
  SoftmaxFixed(StepReader& reader, const LoadOptions& options) : kernel_(softmax_fixed_kernel(options.isa)) {
    reader.expect_counts(1, 1);
    const Buffer &x = reader.input(0), &y = reader.output();
    reader.expect_quantized(x, "x");
    reader.expect_quantized(y, "y");
    reader.expect_rank(x, 3, "x");
    reader.expect_shape(y, x.shape, "y");
    shape_ = x.shape;
    reader.require(shape_[1] <= max_depth, "D must be at most ", max_depth, ", found ", shape_[1]);
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
    SoftmaxFixedArgs args = args_;
    for (int64_t unit = begin; unit < end; ++unit) {
      const int64_t first = unit / shape_[2] * shape_[1] * shape_[2] + unit % shape_[2];
      args.x = input<uint8_t>(0) + first;
      args.y = output<uint8_t>() + first;
      kernel_.run(args);
    }
  }

 private:
  static constexpr int64_t max_depth = 4095;

  void read_table(StepReader& reader) {
    table_ = reader.int32_array("table", {256});
    reader.require(*std::min_element(table_.begin(), table_.end()) >= 0 && table_.back() >= 1 << 30,
                   "the array table must not hold negative values and end with at least 2^30, found ", table_.back(),
                   " at its end");
  }

  const SoftmaxFixedKernel& kernel_;
  Shape shape_;
  std::vector<int32_t> table_;
  SoftmaxFixedArgs args_{};  // all but the pointers
};

}  // namespace

std::unique_ptr<LoadedStep> load_softmax_fixed(StepReader& reader, const LoadOptions& options) {
  return std::make_unique<SoftmaxFixed>(reader, options);
}

}  // namespace q8
