// SPDX-License-Identifier: Apache-2.0
// The step kind add_fma: the family add along the runs of a broadcast.
#include "kernels/add/add.h"
#include "program/loaded_step.h"
#include "program/steps/broadcast.h"
#include "program/steps/units.h"

namespace q8 {
namespace {

class AddFma final : public LoadedStep {
 public:
  AddFma(StepReader& reader, const LoadOptions& options) : broadcast_(check(reader)), kernel_(add_kernel(options.isa)) {
    args_.a_step = broadcast_.a_step();
    args_.b_step = broadcast_.b_step();
    args_.a_ratio = reader.positive_f32("a_ratio_bits");
    args_.b_ratio = reader.positive_f32("b_ratio_bits");
    args_.fixed = reader.finite_f32("fixed_bits");
    args_.range = reader.bounds(reader.output().dtype);
    reader.finish();
  }

  int64_t work(int) const override { return element_units(broadcast_.size()); }
  std::string kernels() const override { return kernel_.symbol; }

  void run(int, int64_t begin, int64_t end, void*) const override {
    for_element_units(broadcast_.size(), begin, end, [this](int64_t first, int64_t elements) {
      broadcast_.for_each_run(first, elements, [this](int64_t a, int64_t b, int64_t y, int64_t count) {
        AddArgs args = args_;
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
    reader.expect_quantized(reader.output(), "y");
    reader.expect_dtype(reader.input(0), reader.output().dtype, "a");
    reader.expect_dtype(reader.input(1), reader.output().dtype, "b");
    return reader;
  }

  Broadcast broadcast_;
  const AddKernel& kernel_;
  AddArgs args_{};  // all but the pointers and the count
};

}  // namespace

std::unique_ptr<LoadedStep> load_add_fma(StepReader& reader, const LoadOptions& options) {
  return std::make_unique<AddFma>(reader, options);
}

}  // namespace q8
