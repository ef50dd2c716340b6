// SPDX-License-Identifier: Apache-2.0
// The step kind average_pool.
#include "kernels/average_pool/average_pool.h"

#include "program/loaded_step.h"
#include "program/steps/read_window.h"
#include "program/steps/units.h"

namespace q8 {
namespace {

constexpr int64_t pixels_per_unit = 8;

class AveragePool final : public LoadedStep {
 public:
  AveragePool(StepReader& reader, const LoadOptions& options) : kernel_(average_pool_kernel(options.isa)) {
    reader.expect_counts(1, 1);
    const Buffer &x = reader.input(0), &y = reader.output();
    reader.expect_quantized(x, "x");
    reader.expect_dtype(y, x.dtype, "y");
    const std::vector<int64_t> taps = reader.integers("kernel", 2, 1, INT32_MAX);
    window_ = read_window(reader, taps[0], taps[1]);
    reader.require(y.shape[3] == window_.c, "y must have the channels of x, ", window_.c, ", found ", y.shape[3]);
    expect_positions(reader, window_, Positions::floor_or_ceil);
    args_.window = &window_;
    args_.count_include_pad = reader.flag("count_include_pad");
    if (!args_.count_include_pad) expect_taps_inside(reader, window_);
    if (reader.has("form")) args_.form = static_cast<AveragePoolForm>(reader.integer("form", 0, 2));
    args_.x_zero_point = reader.zero_point("x_zero_point", x.dtype);
    args_.x_scale = reader.positive_f32("x_scale_bits");
    args_.y_scale = reader.positive_f32("y_scale_bits");
    args_.range = reader.range(y.dtype);
    reader.finish();
  }

  int64_t work(int) const override { return ceil_div(pixels(), pixels_per_unit); }
  size_t scratch_bytes() const override { return 2 * static_cast<size_t>(window_.c) * sizeof(float); }
  std::string kernels() const override { return kernel_.symbol; }

  void run(int, int64_t begin, int64_t end, void* scratch) const override {
    AveragePoolArgs args = args_;
    args.x = input(0);
    args.y = output();
    args.pixel_begin = begin * pixels_per_unit;
    args.pixel_count = std::min(end * pixels_per_unit, pixels()) - args.pixel_begin;
    args.scratch = static_cast<float*>(scratch);
    kernel_.run(args);
  }

 private:
  int64_t pixels() const { return window_.n * window_.oh * window_.ow; }

  const AveragePoolKernel& kernel_;
  Window window_;
  AveragePoolArgs args_{};  // all but the memory and the pixels
};

}  // namespace

std::unique_ptr<LoadedStep> load_average_pool(StepReader& reader, const LoadOptions& options) {
  return std::make_unique<AveragePool>(reader, options);
}

}  // namespace q8
