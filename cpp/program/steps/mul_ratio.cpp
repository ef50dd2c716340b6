// SPDX-License-Identifier: Apache-2.0
// The step kind mul_ratio: the family mul along the runs of a broadcast.
#include "kernels/mul/mul.h"
#include "program/loaded_step.h"
#include "program/steps/broadcast.h"
#include "program/steps/units.h"

namespace q8 {
namespace {

class MulRatio final : public LoadedStep {
 public:
  MulRatio(StepReader& reader, const LoadOptions& options)
      : broadcast_(check(reader)), kernel_(mul_kernel(options.isa)) {
    args_.a_step = broadcast_.a_step();
    args_.b_step = broadcast_.b_step();
    args_.a_dtype = reader.input(0).dtype;
    args_.b_dtype = reader.input(1).dtype;
    args_.a_zero_point = reader.zero_point("a_zero_point", args_.a_dtype);
    args_.b_zero_point = reader.zero_point("b_zero_point", args_.b_dtype);
    args_.ratio = reader.positive_f32("ratio_bits");
    args_.range = reader.range(reader.output().dtype);
    reader.finish();
  }

  int64_t work(int) const override { return element_units(broadcast_.size()); }
  std::string kernels() const override { return kernel_.symbol; }

  void run(int, int64_t begin, int64_t end, void*) const override {
    for_element_units(broadcast_.size(), begin, end, [this](int64_t first, int64_t elements) {
      broadcast_.for_each_run(first, elements, [this](int64_t a, int64_t b, int64_t y, int64_t count) {
        MulArgs args = args_;
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
  const MulKernel& kernel_;
  MulArgs args_{};  // all but the pointers and the count
};

}  // namespace

std::unique_ptr<LoadedStep> load_mul_ratio(StepReader& reader, const LoadOptions& options) {
  return std::make_unique<MulRatio>(reader, options);
}

}  // namespace q8
