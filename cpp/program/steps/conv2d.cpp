// SPDX-License-Identifier: Apache-2.0
// The step kind conv2d: the family conv2d fills a tile of accumulators, the output stage turns it into y.
#include "kernels/conv2d/conv2d.h"

#include "kernels/conv2d_pairs/conv2d_pairs.h"
#include "program/loaded_step.h"
#include "program/steps/output_stage.h"
#include "program/steps/read_window.h"
#include "program/steps/units.h"

namespace q8 {
namespace {

Conv2dShape read_shape(StepReader& reader, const ConvolutionFields& fields) {
  const int64_t group = reader.integer("group", 1, INT32_MAX);
  const int64_t c = fields.window.c;
  reader.require(c % group == 0 && fields.o % group == 0, "group must divide C and O, found ", group, " with C = ", c,
                 " and O = ", fields.o);
  reader.require(reader.input(1).shape[3] == c / group, "w must have C / group = ", c / group,
                 " channels per output, found ", to_string(reader.input(1).shape));
  const int64_t taps = checked_mul(checked_mul(fields.window.kh, fields.window.kw), c / group);
  reader.require(taps <= INT32_MAX, "KH * KW * C / group must be below 2^31, found ", taps);
  return {.window = fields.window, .o = fields.o, .group = group, .x_dtype = fields.x_dtype, .w_dtype = fields.w_dtype};
}

// Of one group.
TileGrid::Matrix accumulators_of(const Conv2dShape& shape) {
  const Window& window = shape.window;
  return {.rows = window.n * window.oh * window.ow,
          .columns = shape.o / shape.group,
          .line = window.ow,
          .row_bytes = window.kh * window.kw * (window.c / shape.group),
          .copies = shape.group};
}

class Conv2d final : public LoadedStep {
 public:
  Conv2d(StepReader& reader, const LoadOptions& options)
      : fields_(read_convolution(reader)),
        shape_(read_shape(reader, fields_)),
        stage_(reader, reader.output(), {shape_.o}, shape_.o, options.isa),
        kernel_(stage_.saturates_pairs() ? conv2d_pairs_kernel(options.isa)
                                         : conv2d_kernel(stage_.sum_isa(options.isa))),
        grid_(accumulators_of(shape_), tile_limits(kernel_.isa), options.threads),
        tile_bytes_(OutputStage::scratch_bytes(grid_.row_tile(), grid_.column_tile())) {
    stage_.expect_pairs_of(reader, shape_.x_dtype, shape_.w_dtype);
    reader.finish();
  }

  int64_t work(int) const override { return grid_.size() * shape_.group; }
  size_t scratch_bytes() const override { return tile_bytes_ + kernel_.scratch_bytes(shape_, grid_.row_tile()); }
  size_t packed_bytes() const override { return kernel_.packed_bytes(shape_); }
  bool has_accumulators() const override { return true; }
  std::string kernels() const override { return kernel_.symbol + stage_.kernels(); }

  void run(int, int64_t begin, int64_t end, void* scratch) const override {
    for (int64_t unit = begin; unit < end; ++unit) {
      run_tile(grid_[unit / shape_.group], unit % shape_.group, static_cast<uint8_t*>(scratch));
    }
  }

 private:
  void pack() override { kernel_.pack(shape_, input(1), fields_.w_zero_point.data(), packed()); }

  void run_tile(const TileGrid::Tile& at, int64_t group, uint8_t* scratch) const {
    const int64_t channel = group * (shape_.o / shape_.group) + at.column;
    const AccumulatorTile tile = stage_.tile(at.row, channel, at.columns, output(), kept_accumulators(), scratch);
    kernel_.run({.shape = &shape_,
                 .x = input(0),
                 .x_zero_point = value(fields_.x_zero_point),
                 .w = input(1),
                 .w_zero_point = fields_.w_zero_point.data(),
                 .bias = fields_.bias.data(),
                 .packed = packed(),
                 .pixel_begin = at.row,
                 .pixel_count = at.rows,
                 .group = group,
                 .channel_begin = at.column,
                 .channel_count = at.columns,
                 .acc = tile.acc,
                 .acc_stride = tile.stride,
                 .saturated_bits = stage_.saturated_bits(),
                 .scratch = scratch + tile_bytes_});
    stage_.finish(tile, at.row, at.rows, channel, at.columns, output());
  }

  ConvolutionFields fields_;
  Conv2dShape shape_;
  OutputStage stage_;
  const Conv2dKernel& kernel_;
  TileGrid grid_;
  size_t tile_bytes_;
};

}  // namespace

std::unique_ptr<LoadedStep> load_conv2d(StepReader& reader, const LoadOptions& options) {
  return std::make_unique<Conv2d>(reader, options);
}

}  // namespace q8
