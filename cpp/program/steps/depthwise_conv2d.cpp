// SPDX-License-Identifier: Apache-2.0
// The step kind depthwise_conv2d: its family fills a tile of accumulators, the output stage turns it into y.
#include "kernels/depthwise_conv2d/depthwise_conv2d.h"

#include "program/loaded_step.h"
#include "program/steps/output_stage.h"
#include "program/steps/read_window.h"
#include "program/steps/units.h"

namespace q8 {
namespace {

DepthwiseConv2dShape read_shape(const StepReader& reader, const ConvolutionFields& fields) {
  const int64_t c = fields.window.c;
  reader.require(fields.o % c == 0, "O must be a multiple of C, found O = ", fields.o, " with C = ", c);
  reader.require(reader.input(1).shape[3] == 1, "w must have one channel per output, found ",
                 to_string(reader.input(1).shape));
  const int64_t taps = checked_mul(fields.window.kh, fields.window.kw);
  reader.require(taps <= INT32_MAX, "KH * KW must be below 2^31, found ", taps);
  return {.window = fields.window, .o = fields.o, .x_dtype = fields.x_dtype, .w_dtype = fields.w_dtype};
}

TileGrid::Matrix accumulators_of(const DepthwiseConv2dShape& shape) {
  const Window& window = shape.window;
  return {.rows = window.n * window.oh * window.ow, .columns = shape.o, .line = window.ow, .row_bytes = 1, .copies = 1};
}

class DepthwiseConv2d final : public LoadedStep {
 public:
  DepthwiseConv2d(StepReader& reader, const LoadOptions& options)
      : fields_(read_convolution(reader)),
        shape_(read_shape(reader, fields_)),
        stage_(reader, reader.output(), {shape_.o}, shape_.o, options.isa),
        kernel_(depthwise_conv2d_kernel(stage_.sum_isa(options.isa))),
        grid_(accumulators_of(shape_), tile_limits(kernel_.isa), options.threads),
        tile_bytes_(OutputStage::scratch_bytes(grid_.row_tile(), grid_.column_tile())) {
    reader.require(!stage_.saturates_pairs(), "saturates_pairs is for sums over several channels");
    reader.finish();
  }

  int64_t work(int) const override { return grid_.size(); }
  size_t scratch_bytes() const override { return tile_bytes_ + kernel_.scratch_bytes(shape_); }
  size_t packed_bytes() const override { return kernel_.packed_bytes(shape_); }
  bool has_accumulators() const override { return true; }
  std::string kernels() const override { return kernel_.symbol + stage_.kernels(); }

  void run(int, int64_t begin, int64_t end, void* scratch) const override {
    for (int64_t unit = begin; unit < end; ++unit) run_tile(grid_[unit], static_cast<uint8_t*>(scratch));
  }

 private:
  void pack() override { kernel_.pack(shape_, input(1), fields_.w_zero_point.data(), packed()); }

  void run_tile(const TileGrid::Tile& at, uint8_t* scratch) const {
    const AccumulatorTile tile = stage_.tile(at.row, at.column, at.columns, output(), kept_accumulators(), scratch);
    kernel_.run({.shape = &shape_,
                 .x = input(0),
                 .x_zero_point = value(fields_.x_zero_point),
                 .w = input(1),
                 .w_zero_point = fields_.w_zero_point.data(),
                 .bias = fields_.bias.data(),
                 .packed = packed(),
                 .pixel_begin = at.row,
                 .pixel_count = at.rows,
                 .channel_begin = at.column,
                 .channel_count = at.columns,
                 .acc = tile.acc,
                 .acc_stride = tile.stride,
                 .saturated_bits = stage_.saturated_bits(),
                 .scratch = scratch + tile_bytes_});
    stage_.finish(tile, at.row, at.rows, at.column, at.columns, output());
  }

  ConvolutionFields fields_;
  DepthwiseConv2dShape shape_;
  OutputStage stage_;
  const DepthwiseConv2dKernel& kernel_;
  TileGrid grid_;
  size_t tile_bytes_;
};

}  // namespace

std::unique_ptr<LoadedStep> load_depthwise_conv2d(StepReader& reader, const LoadOptions& options) {
  return std::make_unique<DepthwiseConv2d>(reader, options);
}

}  // namespace q8
