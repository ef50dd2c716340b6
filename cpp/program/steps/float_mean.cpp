// SPDX-License-Identifier: Apache-2.0
// The step kind float_mean.
#include "kernels/float_mean/float_mean.h"

#include "program/loaded_step.h"
#include "program/steps/units.h"

namespace q8 {
namespace {

constexpr int64_t rows_per_unit = 16;

class FloatMean final : public LoadedStep {
 public:
  FloatMean(StepReader& reader, const LoadOptions& options) : kernel_(float_mean_kernel(options.isa)) {
    reader.expect_counts(1, 1);
    const Buffer &x = reader.input(0), &y = reader.output();
    reader.expect_quantized(x, "x");
    reader.expect_rank(x, 2, "x");
    reader.expect_quantized(y, "y");
    reader.expect_shape(y, {x.shape[0]}, "y");
    rows_ = x.shape[0];
    args_.x_dtype = x.dtype;
    args_.row_length = x.shape[1];
    args_.order = static_cast<SumOrder>(reader.integer("order", 0, 3));
    args_.x_zero_point = reader.zero_point("x_zero_point", x.dtype);
    args_.x_scale = reader.positive_f32("x_scale_bits");
    args_.y_scale = reader.positive_f32("y_scale_bits");
    args_.range = reader.range(y.dtype);
    reader.finish();
  }

  int64_t work(int) const override { return ceil_div(rows_, rows_per_unit); }
  std::string kernels() const override { return kernel_.symbol; }

  void run(int, int64_t begin, int64_t end, void*) const override {
    FloatMeanArgs args = args_;
    args.x = input(0);
    args.y = output();
    args.row_begin = begin * rows_per_unit;
    args.row_count = std::min(end * rows_per_unit, rows_) - args.row_begin;
    kernel_.run(args);
  }

 private:
  const FloatMeanKernel& kernel_;
  int64_t rows_ = 0;
  FloatMeanArgs args_{};  // all but the memory and the rows
};

}  // namespace

std::unique_ptr<LoadedStep> load_float_mean(StepReader& reader, const LoadOptions& options) {
  return std::make_unique<FloatMean>(reader, options);
}

}  // namespace q8
