// SPDX-License-Identifier: Apache-2.0
// The step kind mean: its family sums a tile of accumulators, the output stage turns it into y.
#include "kernels/mean/mean.h"

#include "program/loaded_step.h"
#include "program/steps/mean.h"
#include "program/steps/output_stage.h"

namespace q8 {
namespace {

class Mean final : public LoadedStep {
 public:
  Mean(StepReader& reader, const LoadOptions& options)
      : x_(check_mean(reader)),
        x_zero_point_(reader.zero_point("x_zero_point", x_.dtype)),
        stage_(reader, reader.output(), {1}, x_.shape[2], options.isa),
        kernel_(mean_kernel(options.isa)),
        grid_(mean_tiles(x_, options.threads)) {
    reader.finish();
  }

  int64_t work(int) const override { return grid_.size(); }
  size_t scratch_bytes() const override { return OutputStage::scratch_bytes(grid_.row_tile(), grid_.column_tile()); }
  bool has_accumulators() const override { return true; }
  std::string kernels() const override { return kernel_.symbol + stage_.kernels(); }

  void run(int, int64_t begin, int64_t end, void* scratch) const override {
    const int64_t r = x_.shape[1], b = x_.shape[2];
    for (int64_t unit = begin; unit < end; ++unit) {
      const TileGrid::Tile at = grid_[unit];
      const AccumulatorTile tile = stage_.tile(at.row, at.column, at.columns, output(), kept_accumulators(), scratch);
      for (int64_t row = 0; row < at.rows; ++row) {
        kernel_.run({.x = input<uint8_t>(0) + (at.row + row) * r * b + at.column,
                     .x_dtype = x_.dtype,
                     .rows = r,
                     .x_stride = b,
                     .count = at.columns,
                     .x_zero_point = x_zero_point_,
                     .acc = tile.acc + row * tile.stride});
      }
      stage_.finish(tile, at.row, at.rows, at.column, at.columns, output());
    }
  }

 private:
  Buffer x_;
  int32_t x_zero_point_;
  OutputStage stage_;
  const MeanKernel& kernel_;
  TileGrid grid_;
};

}  // namespace

std::unique_ptr<LoadedStep> load_mean(StepReader& reader, const LoadOptions& options) {
  return std::make_unique<Mean>(reader, options);
}

}  // namespace q8
