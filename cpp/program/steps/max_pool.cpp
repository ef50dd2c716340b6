// SPDX-License-Identifier: Apache-2.0
// The step kind max_pool.
#include "kernels/max_pool/max_pool.h"

#include "program/loaded_step.h"
#include "program/steps/read_window.h"
#include "program/steps/units.h"

namespace q8 {
namespace {

constexpr int64_t pixels_per_unit = 8;

class MaxPool final : public LoadedStep {
 public:
  MaxPool(StepReader& reader, const LoadOptions& options) : kernel_(max_pool_kernel(options.isa)) {
    reader.expect_counts(1, 1);
    const Buffer &x = reader.input(0), &y = reader.output();
    reader.expect_quantized(x, "x");
    reader.expect_dtype(y, x.dtype, "y");
    dtype_ = x.dtype;
    const std::vector<int64_t> taps = reader.integers("kernel", 2, 1, INT32_MAX);
    window_ = read_window(reader, taps[0], taps[1]);
    reader.require(y.shape[3] == window_.c, "y must have the channels of x, ", window_.c, ", found ", y.shape[3]);
    expect_positions(reader, window_, Positions::floor_or_ceil);
    expect_taps_inside(reader, window_);
    reader.finish();
  }

  int64_t work(int) const override { return ceil_div(pixels(), pixels_per_unit); }
  std::string kernels() const override { return kernel_.symbol; }

  void run(int, int64_t begin, int64_t end, void*) const override {
    const int64_t first = begin * pixels_per_unit;
    kernel_.run({.window = &window_,
                 .dtype = dtype_,
                 .x = input(0),
                 .y = output(),
                 .pixel_begin = first,
                 .pixel_count = std::min(end * pixels_per_unit, pixels()) - first});
  }

 private:
  int64_t pixels() const { return window_.n * window_.oh * window_.ow; }

  const MaxPoolKernel& kernel_;
  Window window_;
  DType dtype_;
};

}  // namespace

std::unique_ptr<LoadedStep> load_max_pool(StepReader& reader, const LoadOptions& options) {
  return std::make_unique<MaxPool>(reader, options);
}

}  // namespace q8
