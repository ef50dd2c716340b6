// SPDX-License-Identifier: Apache-2.0
// The step kind mean: its family sums a tile of accumulators, the output stage turns it into y.
#include "kernels/mean/mean.h"

#include <algorithm>

#include "program/loaded_step.h"
#include "program/steps/output_stage.h"
#include "program/steps/units.h"

namespace q8 {
namespace {

constexpr int64_t columns_per_unit = 1024;

class Mean final : public LoadedStep {
 public:
  Mean(StepReader& reader, const LoadOptions& options)
      : x_(check(reader)),
        x_zero_point_(reader.zero_point("x_zero_point", x_.dtype)),
        stage_(reader, reader.output(), {1}, x_.shape[2], options.isa),
        kernel_(mean_kernel(options.isa)) {
    reader.finish();
  }

  int64_t work(int) const override { return x_.shape[0] * across(); }
  size_t scratch_bytes() const override { return OutputStage::scratch_bytes(1, columns_per_unit); }
  bool has_accumulators() const override { return true; }
  std::string kernels() const override { return kernel_.symbol + stage_.kernels(); }

  void run(int, int64_t begin, int64_t end, void* scratch) const override {
    const int64_t r = x_.shape[1], b = x_.shape[2];
    for (int64_t unit = begin; unit < end; ++unit) {
      const int64_t row = unit / across();
      const int64_t column = unit % across() * columns_per_unit;
      const int64_t columns = std::min(columns_per_unit, b - column);
      const AccumulatorTile tile = stage_.tile(row, column, columns, output(), kept_accumulators(), scratch);
      kernel_.run({.x = input<uint8_t>(0) + row * r * b + column,
                   .x_dtype = x_.dtype,
                   .rows = r,
                   .x_stride = b,
                   .count = columns,
                   .x_zero_point = x_zero_point_,
                   .acc = tile.acc});
      stage_.finish(tile, row, 1, column, columns, output());
    }
  }

 private:
  static Buffer check(const StepReader& reader) {
    reader.expect_counts(1, 1);
    const Buffer& x = reader.input(0);
    reader.expect_quantized(x, "x");
    reader.expect_rank(x, 3, "x");
    reader.expect_quantized(reader.output(), "y");
    reader.expect_shape(reader.output(), {x.shape[0], x.shape[2]}, "y");
    return x;
  }

  int64_t across() const { return ceil_div(x_.shape[2], columns_per_unit); }

  Buffer x_;
  int32_t x_zero_point_;
  OutputStage stage_;
  const MeanKernel& kernel_;
};

}  // namespace

std::unique_ptr<LoadedStep> load_mean(StepReader& reader, const LoadOptions& options) {
  return std::make_unique<Mean>(reader, options);
}

}  // namespace q8
