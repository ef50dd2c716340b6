// SPDX-License-Identifier: Apache-2.0
// The step kind average_pool_raw.
#include "kernels/average_pool_raw/average_pool_raw.h"

#include "program/loaded_step.h"
#include "program/steps/read_window.h"
#include "program/steps/units.h"

namespace q8 {
namespace {

constexpr int64_t pixels_per_unit = 8;

class AveragePoolRaw final : public LoadedStep {
 public:
  AveragePoolRaw(StepReader& reader, const LoadOptions& options) : kernel_(average_pool_raw_kernel(options.isa)) {
    reader.expect_counts(1, 1);
    const Buffer &x = reader.input(0), &y = reader.output();
    reader.expect_quantized(x, "x");
    reader.expect_dtype(y, x.dtype, "y");
    const std::vector<int64_t> taps = reader.integers("kernel", 2, 1, INT32_MAX);
    window_ = read_window(reader, taps[0], taps[1]);
    reader.require(y.shape[3] == window_.c, "y must have the channels of x, ", window_.c, ", found ", y.shape[3]);
    expect_positions(reader, window_, Positions::floor_or_ceil);
    args_.window = &window_;
    expect_taps_inside(reader, window_);
    args_.range = reader.bounds(y.dtype);
    if (reader.has("x_zero_point")) args_.range.zero_point = reader.zero_point("x_zero_point", x.dtype);
    if (reader.has("division")) args_.division = static_cast<Division>(reader.integer("division", 0, 1));
    reader.finish();
  }

  int64_t work(int) const override { return ceil_div(pixels(), pixels_per_unit); }
  size_t scratch_bytes() const override { return static_cast<size_t>(window_.c) * sizeof(int64_t); }
  std::string kernels() const override { return kernel_.symbol; }

  void run(int, int64_t begin, int64_t end, void* scratch) const override {
    AveragePoolRawArgs args = args_;
    args.x = input(0);
    args.y = output();
    args.pixel_begin = begin * pixels_per_unit;
    args.pixel_count = std::min(end * pixels_per_unit, pixels()) - args.pixel_begin;
    args.scratch = static_cast<int64_t*>(scratch);
    kernel_.run(args);
  }

 private:
  int64_t pixels() const { return window_.n * window_.oh * window_.ow; }

  const AveragePoolRawKernel& kernel_;
  Window window_;
  AveragePoolRawArgs args_{};  // all but the memory and the pixels
};

}  // namespace

std::unique_ptr<LoadedStep> load_average_pool_raw(StepReader& reader, const LoadOptions& options) {
  return std::make_unique<AveragePoolRaw>(reader, options);
}

}  // namespace q8
