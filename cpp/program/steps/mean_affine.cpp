// SPDX-License-Identifier: Apache-2.0
// The step kind mean_affine: the family mean sums the values as they are, one binary32 product and sum give y.
#include "kernels/mean/mean.h"
#include "kernels/with_type.h"
#include "numerics/requantize.h"
#include "program/loaded_step.h"
#include "program/steps/mean.h"

namespace q8 {
namespace {

class MeanAffine final : public LoadedStep {
 public:
  MeanAffine(StepReader& reader, const LoadOptions& options)
      : kernel_(mean_kernel(options.isa)),
        x_(check_mean(reader)),
        grid_(mean_tiles(x_, options.threads)),
        scale_(reader.positive_f32("scale_bits")),
        addend_(reader.finite_f32("addend_bits")),
        range_(reader.bounds(reader.output().dtype)) {
    reader.finish();
  }

  int64_t work(int) const override { return grid_.size(); }
  size_t scratch_bytes() const override { return static_cast<size_t>(grid_.column_tile()) * sizeof(int32_t); }
  std::string kernels() const override { return kernel_.symbol; }

  void run(int, int64_t begin, int64_t end, void* scratch) const override {
    const int64_t r = x_.shape[1], b = x_.shape[2];
    int32_t* acc = static_cast<int32_t*>(scratch);
    for (int64_t unit = begin; unit < end; ++unit) {
      const TileGrid::Tile at = grid_[unit];
      for (int64_t row = at.row; row < at.row + at.rows; ++row) {
        kernel_.run({.x = input<uint8_t>(0) + row * r * b + at.column,
                     .x_dtype = x_.dtype,
                     .rows = r,
                     .x_stride = b,
                     .count = at.columns,
                     .x_zero_point = 0,
                     .acc = acc});
        quantize(acc, at.columns, row * b + at.column);
      }
    }
  }

 private:
  void quantize(const int32_t* acc, int64_t count, int64_t first) const {
    with_quantized_type(range_.dtype, [&](auto type) {
      using Y = decltype(type);
      Y* y = static_cast<Y*>(output()) + first;
      for (int64_t i = 0; i < count; ++i) {
        const float product = static_cast<float>(acc[i]) * scale_;
        y[i] = static_cast<Y>(quantize_inside(product + addend_, range_));
      }
    });
  }

  const MeanKernel& kernel_;
  Buffer x_;
  TileGrid grid_;
  float scale_, addend_;
  QuantizedRange range_;
};

}  // namespace

std::unique_ptr<LoadedStep> load_mean_affine(StepReader& reader, const LoadOptions& options) {
  return std::make_unique<MeanAffine>(reader, options);
}

}  // namespace q8
