// SPDX-License-Identifier: Apache-2.0
// What the pools share: the window over x[N, H, W, C], and a few pixels of y as one unit of work.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "kernels/kernel.h"
#include "program/loaded_step.h"
#include "program/steps/read_window.h"
#include "program/steps/units.h"

namespace q8 {

// The constructor of a step fills in the rest of args_.
template <class Args>
class PoolStep : public LoadedStep {
 public:
  int64_t work(int) const override { return ceil_div(pixels(), pixels_per_unit); }
  std::string kernels() const override { return kernel_.symbol; }

  void run(int, int64_t begin, int64_t end, [[maybe_unused]] void* scratch) const override {
    Args args = args_;
    args.x = input(0);
    args.y = output();
    args.pixel_begin = begin * pixels_per_unit;
    args.pixel_count = std::min(end * pixels_per_unit, pixels()) - args.pixel_begin;
    if constexpr (requires { args.scratch; }) args.scratch = static_cast<decltype(args.scratch)>(scratch);
    kernel_.run(args);
  }

 protected:
  PoolStep(StepReader& reader, const Kernel<Args>& kernel) : kernel_(kernel) {
    reader.expect_counts(1, 1);
    const Buffer &x = reader.input(0), &y = reader.output();
    reader.expect_quantized(x, "x");
    reader.expect_dtype(y, x.dtype, "y");
    const std::vector<int64_t> taps = reader.integers("kernel", 2, 1, INT32_MAX);
    window_ = read_window(reader, taps[0], taps[1]);
    reader.require(y.shape[3] == window_.c, "y must have the channels of x, ", window_.c, ", found ", y.shape[3]);
    expect_positions(reader, window_, Positions::floor_or_ceil);
    args_.window = &window_;
  }

  // Memory for so many sums of each channel.
  template <class Sum>
  size_t sums_bytes(size_t sums) const {
    return sums * static_cast<size_t>(window_.c) * sizeof(Sum);
  }

  Window window_;
  Args args_{};  // all but the memory and the pixels

 private:
  static constexpr int64_t pixels_per_unit = 8;

  int64_t pixels() const { return window_.n * window_.oh * window_.ow; }

  const Kernel<Args>& kernel_;
};

}  // namespace q8
