// SPDX-License-Identifier: Apache-2.0
// The step kind quantize.
#include "kernels/quantize/quantize.h"

#include "program/loaded_step.h"
#include "program/steps/channel_runs.h"

namespace q8 {
namespace {

class Quantize final : public LoadedStep {
 public:
  Quantize(StepReader& reader, const LoadOptions& options)
      : c_(check(reader)),
        scale_(reader.positive_f32_array("scale_bits", {1, c_})),
        zero_point_(
            reader.zero_point_array("zero_point", {static_cast<int64_t>(scale_.size())}, reader.output().dtype)),
        range_(reader.bounds(reader.output().dtype)),
        rule_(reader.has("rounding") ? static_cast<QuantizeRule>(reader.integer("rounding", 0, 4))
                                     : QuantizeRule::half_even),
        runs_(reader.input(0).shape, static_cast<int64_t>(scale_.size())),
        kernel_(quantize_kernel(options.isa)) {
    reader.finish();
  }

  int64_t work(int) const override { return runs_.units(); }
  std::string kernels() const override { return kernel_.symbol; }

  void run(int, int64_t begin, int64_t end, void*) const override {
    for (int64_t unit = begin; unit < end; ++unit) {
      const ChannelRuns::Run run = runs_[unit];
      kernel_.run({.x = input<float>(0) + run.first,
                   .y = output<uint8_t>() + run.first,
                   .count = run.count,
                   .scale = scale_.data() + run.parameter,
                   .zero_point = zero_point_.data() + run.parameter,
                   .parameter_step = runs_.parameter_step(),
                   .range = range_,
                   .rule = rule_});
    }
  }

 private:
  // Returns C.
  static int64_t check(const StepReader& reader) {
    reader.expect_counts(1, 1);
    const Buffer& x = reader.input(0);
    reader.expect_dtype(x, DType::f32, "x");
    reader.expect_rank(x, 3, "x");
    reader.expect_quantized(reader.output(), "y");
    reader.expect_shape(reader.output(), x.shape, "y");
    return x.shape[1];
  }

  int64_t c_;
  std::vector<float> scale_;
  std::vector<int32_t> zero_point_;
  QuantizedRange range_;
  QuantizeRule rule_;
  ChannelRuns runs_;
  const QuantizeKernel& kernel_;
};

}  // namespace

std::unique_ptr<LoadedStep> load_quantize(StepReader& reader, const LoadOptions& options) {
  return std::make_unique<Quantize>(reader, options);
}

}  // namespace q8
