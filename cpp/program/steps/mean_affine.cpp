// SPDX-License-Identifier: Apache-2.0
// The step kind mean_affine: the family mean sums the values as they are, one binary32 product and sum give y.
#include <algorithm>

#include "kernels/mean/mean.h"
#include "kernels/with_type.h"
#include "numerics/requantize.h"
#include "program/loaded_step.h"
#include "program/steps/units.h"

namespace q8 {
namespace {

constexpr int64_t columns_per_unit = 1024;

class MeanAffine final : public LoadedStep {
 public:
  MeanAffine(StepReader& reader, const LoadOptions& options) : kernel_(mean_kernel(options.isa)) {
    reader.expect_counts(1, 1);
    const Buffer &x = reader.input(0), &y = reader.output();
    reader.expect_quantized(x, "x");
    reader.expect_rank(x, 3, "x");
    reader.expect_quantized(y, "y");
    reader.expect_shape(y, {x.shape[0], x.shape[2]}, "y");
    x_ = x;
    scale_ = reader.positive_f32("scale_bits");
    addend_ = reader.finite_f32("addend_bits");
    range_ = reader.bounds(y.dtype);
    reader.finish();
  }

  int64_t work(int) const override { return x_.shape[0] * across(); }
  size_t scratch_bytes() const override { return columns_per_unit * sizeof(int32_t); }
  std::string kernels() const override { return kernel_.symbol; }

  void run(int, int64_t begin, int64_t end, void* scratch) const override {
    const int64_t r = x_.shape[1], b = x_.shape[2];
    for (int64_t unit = begin; unit < end; ++unit) {
      const int64_t row = unit / across();
      const int64_t column = unit % across() * columns_per_unit;
      const int64_t columns = std::min(columns_per_unit, b - column);
      int32_t* acc = static_cast<int32_t*>(scratch);
      kernel_.run({.x = input<uint8_t>(0) + row * r * b + column,
                   .x_dtype = x_.dtype,
                   .rows = r,
                   .x_stride = b,
                   .count = columns,
                   .x_zero_point = 0,
                   .acc = acc});
      with_quantized_type(range_.dtype, [&](auto type) {
        using Y = decltype(type);
        Y* y = static_cast<Y*>(output()) + row * b + column;
        for (int64_t i = 0; i < columns; ++i) {
          const float product = static_cast<float>(acc[i]) * scale_;
          y[i] = static_cast<Y>(quantize_inside(product + addend_, range_));
        }
      });
    }
  }

 private:
  int64_t across() const { return ceil_div(x_.shape[2], columns_per_unit); }

  const MeanKernel& kernel_;
  Buffer x_;
  float scale_ = 0;
  float addend_ = 0;
  QuantizedRange range_{};
};

}  // namespace

std::unique_ptr<LoadedStep> load_mean_affine(StepReader& reader, const LoadOptions& options) {
  return std::make_unique<MeanAffine>(reader, options);
}

}  // namespace q8
