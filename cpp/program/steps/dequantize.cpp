// SPDX-License-Identifier: Apache-2.0
// The step kind dequantize.
#include "kernels/dequantize/dequantize.h"

#include "program/loaded_step.h"
#include "program/steps/channel_runs.h"

namespace q8 {
namespace {

class Dequantize final : public LoadedStep {
 public:
  Dequantize(StepReader& reader, const LoadOptions& options)
      : x_(check(reader)),
        scale_(reader.positive_f32_array("scale_bits", {1, x_.shape[1]})),
        zero_point_(reader.int32_array("zero_point", {static_cast<int64_t>(scale_.size())})),
        is_affine_(reader.has("affine") && reader.flag("affine")),
        runs_(x_.shape, static_cast<int64_t>(scale_.size())),
        kernel_(dequantize_kernel(options.isa)) {
    reader.require(!is_affine_ || is_quantized(x_.dtype), "affine 1 is for int8 and uint8, found ",
                   dtype_name(x_.dtype));
    reader.finish();
  }

  int64_t work(int) const override { return runs_.units(); }
  std::string kernels() const override { return kernel_.symbol; }

  void run(int, int64_t begin, int64_t end, void*) const override {
    const int64_t element_bytes = static_cast<int64_t>(dtype_bytes(x_.dtype));
    for (int64_t unit = begin; unit < end; ++unit) {
      const ChannelRuns::Run run = runs_[unit];
      kernel_.run({.x = input<uint8_t>(0) + run.first * element_bytes,
                   .x_dtype = x_.dtype,
                   .y = output<float>() + run.first,
                   .count = run.count,
                   .scale = scale_.data() + run.parameter,
                   .zero_point = zero_point_.data() + run.parameter,
                   .parameter_step = runs_.parameter_step(),
                   .is_affine = is_affine_});
    }
  }

 private:
  static Buffer check(const StepReader& reader) {
    reader.expect_counts(1, 1);
    const Buffer& x = reader.input(0);
    reader.require(x.dtype != DType::f32, "x must be int8, uint8 or int32, found float32");
    reader.expect_rank(x, 3, "x");
    reader.expect_dtype(reader.output(), DType::f32, "y");
    reader.expect_shape(reader.output(), x.shape, "y");
    return x;
  }

  Buffer x_;
  std::vector<float> scale_;
  std::vector<int32_t> zero_point_;
  bool is_affine_;
  ChannelRuns runs_;
  const DequantizeKernel& kernel_;
};

}  // namespace

std::unique_ptr<LoadedStep> load_dequantize(StepReader& reader, const LoadOptions& options) {
  return std::make_unique<Dequantize>(reader, options);
}

}  // namespace q8
