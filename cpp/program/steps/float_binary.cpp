// SPDX-License-Identifier: Apache-2.0
// The step kind float_binary: its family along the runs of a broadcast.
#include "kernels/float_binary/float_binary.h"

#include "program/loaded_step.h"
#include "program/steps/broadcast.h"
#include "program/steps/units.h"

namespace q8 {
namespace {

class FloatBinary final : public LoadedStep {
 public:
  FloatBinary(StepReader& reader, const LoadOptions& options)
      : broadcast_(check(reader)), kernel_(float_binary_kernel(options.isa)) {
    args_.a_step = broadcast_.a_step();
    args_.b_step = broadcast_.b_step();
    args_.op = static_cast<FloatOperator>(reader.integer("operator", 0, 2));
    args_.a_dtype = reader.input(0).dtype;
    args_.b_dtype = reader.input(1).dtype;
    args_.a_zero_point = reader.zero_point("a_zero_point", args_.a_dtype);
    args_.b_zero_point = reader.zero_point("b_zero_point", args_.b_dtype);
    args_.a_scale = reader.positive_f32("a_scale_bits");
    args_.b_scale = reader.positive_f32("b_scale_bits");
    args_.y_scale = reader.positive_f32("y_scale_bits");
    args_.range = reader.range(reader.output().dtype);
    reader.finish();
  }

  int64_t work(int) const override { return element_units(broadcast_.size()); }
  std::string kernels() const override { return kernel_.symbol; }

  void run(int, int64_t begin, int64_t end, void*) const override {
    for_element_units(broadcast_.size(), begin, end, [this](int64_t first, int64_t elements) {
      broadcast_.for_each_run(first, elements, [this](int64_t a, int64_t b, int64_t y, int64_t count) {
        FloatBinaryArgs args = args_;
        args.a = input<uint8_t>(0) + a;
        args.b = input<uint8_t>(1) + b;
        args.y = output<uint8_t>() + y;
        args.count = count;
        kernel_.run(args);
      });
    });
  }

 private:
  static const StepReader& check(const StepReader& reader) {
    reader.expect_counts(2, 1);
    reader.expect_quantized(reader.input(0), "a");
    reader.expect_quantized(reader.input(1), "b");
    reader.expect_quantized(reader.output(), "y");
    return reader;
  }

  Broadcast broadcast_;
  const FloatBinaryKernel& kernel_;
  FloatBinaryArgs args_{};  // all but the pointers and the count
};

}  // namespace

std::unique_ptr<LoadedStep> load_float_binary(StepReader& reader, const LoadOptions& options) {
  return std::make_unique<FloatBinary>(reader, options);
}

}  // namespace q8
