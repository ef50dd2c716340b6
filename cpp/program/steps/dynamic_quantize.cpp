// SPDX-License-Identifier: Apache-2.0
// The step kind dynamic_quantize: a first phase finds scale and zero point, a second one quantizes.
#include "kernels/quantize/quantize.h"
#include "program/loaded_step.h"
#include "program/steps/units.h"

namespace q8 {
namespace {

constexpr QuantizedRange whole_range{.zero_point = 0, .qmin = 0, .qmax = 255, .dtype = DType::u8};

class DynamicQuantize final : public LoadedStep {
 public:
  DynamicQuantize(StepReader& reader, const LoadOptions& options) : kernel_(quantize_kernel(options.isa)) {
    reader.expect_counts(1, 3);
    const Buffer& x = reader.input(0);
    reader.expect_dtype(x, DType::f32, "x");
    reader.expect_dtype(reader.output(0), DType::u8, "y");
    reader.expect_shape(reader.output(0), x.shape, "y");
    reader.expect_dtype(reader.output(1), DType::f32, "scale");
    reader.expect_shape(reader.output(1), {1}, "scale");
    reader.expect_dtype(reader.output(2), DType::u8, "zero_point");
    reader.expect_shape(reader.output(2), {1}, "zero_point");
    size_ = element_count(x.shape);
    reader.finish();
  }

  int phases() const override { return 2; }
  int64_t work(int phase) const override { return phase == 0 ? 1 : element_units(size_); }
  std::string kernels() const override { return kernel_.symbol; }

  void run(int phase, int64_t begin, int64_t end, void*) const override {
    if (phase == 0) {
      if (begin < end) find_parameters();
      return;
    }
    const int32_t zero_point = *output<uint8_t>(2);
    for_element_units(size_, begin, end, [&](int64_t first, int64_t count) {
      kernel_.run({.x = input<float>(0) + first,
                   .y = output<uint8_t>(0) + first,
                   .count = count,
                   .scale = output<float>(1),
                   .zero_point = &zero_point,
                   .parameter_step = 0,
                   .range = whole_range,
                   .rule = QuantizeRule::half_even});
    });
  }

 private:
  void find_parameters() const {
    const float* x = input<float>(0);
    float low = 0.0f, high = 0.0f;
    for (int64_t i = 0; i < size_; ++i) {
      low = x[i] < low ? x[i] : low;
      high = x[i] > high ? x[i] : high;
    }
    const float scale = low == high ? 1.0f : (high - low) / 255.0f;
    *output<float>(1) = scale;
    *output<uint8_t>(2) = static_cast<uint8_t>(half_even(saturate(0.0f - low / scale, 0.0f, 255.0f)));
  }

  const QuantizeKernel& kernel_;
  int64_t size_;
};

}  // namespace

std::unique_ptr<LoadedStep> load_dynamic_quantize(StepReader& reader, const LoadOptions& options) {
  return std::make_unique<DynamicQuantize>(reader, options);
}

}  // namespace q8
