// SPDX-License-Identifier: Apache-2.0
// The step kind average_pool_scaled.
#include "kernels/average_pool_scaled/average_pool_scaled.h"

#include "program/loaded_step.h"
#include "program/steps/read_window.h"
#include "program/steps/units.h"

namespace q8 {
namespace {

constexpr int64_t pixels_per_unit = 8;

class AveragePoolScaled final : public LoadedStep {
 public:
  AveragePoolScaled(StepReader& reader, const LoadOptions& options) : kernel_(average_pool_scaled_kernel(options.isa)) {
    reader.expect_counts(1, 1);
    const Buffer &x = reader.input(0), &y = reader.output();
    reader.expect_quantized(x, "x");
    reader.expect_dtype(y, x.dtype, "y");
    const std::vector<int64_t> taps = reader.integers("kernel", 2, 1, INT32_MAX);
    window_ = read_window(reader, taps[0], taps[1]);
    reader.require(y.shape[3] == window_.c, "y must have the channels of x, ", window_.c, ", found ", y.shape[3]);
    expect_positions(reader, window_, Positions::floor_or_ceil);
    args_.window = &window_;
    args_.x_zero_point = reader.zero_point("x_zero_point", x.dtype);
    args_.factor = reader.positive_f32("factor_bits");
    args_.rule = static_cast<AverageRule>(reader.integer("rounding", 0, 2));
    args_.inside_from = reader.has("inside_from") ? reader.integer("inside_from", 0, INT32_MAX) : INT64_MAX;
    args_.range = reader.range(y.dtype);
    reader.finish();
  }

  int64_t work(int) const override { return ceil_div(pixels(), pixels_per_unit); }
  size_t scratch_bytes() const override { return static_cast<size_t>(window_.c) * sizeof(int64_t); }
  std::string kernels() const override { return kernel_.symbol; }

  void run(int, int64_t begin, int64_t end, void* scratch) const override {
    AveragePoolScaledArgs args = args_;
    args.x = input(0);
    args.y = output();
    args.pixel_begin = begin * pixels_per_unit;
    args.pixel_count = std::min(end * pixels_per_unit, pixels()) - args.pixel_begin;
    args.scratch = static_cast<int64_t*>(scratch);
    kernel_.run(args);
  }

 private:
  int64_t pixels() const { return window_.n * window_.oh * window_.ow; }

  const AveragePoolScaledKernel& kernel_;
  Window window_;
  AveragePoolScaledArgs args_{};  // all but the memory and the pixels
};

}  // namespace

std::unique_ptr<LoadedStep> load_average_pool_scaled(StepReader& reader, const LoadOptions& options) {
  return std::make_unique<AveragePoolScaled>(reader, options);
}

}  // namespace q8
