// SPDX-License-Identifier: Apache-2.0
// The step kind lut.
#include "kernels/lut/lut.h"

#include "program/loaded_step.h"
#include "program/steps/units.h"

namespace q8 {
namespace {

class Lut final : public LoadedStep {
 public:
  Lut(StepReader& reader, const LoadOptions& options) : kernel_(lut_kernel(options.isa)) {
    reader.expect_counts(1, 1);
    const Buffer &x = reader.input(0), &y = reader.output();
    reader.expect_quantized(x, "x");
    reader.expect_quantized(y, "y");
    reader.expect_shape(y, x.shape, "y");
    size_ = element_count(x.shape);
    const Array& table = reader.array("table", y.dtype);
    reader.require(table.shape == Shape{256}, "the array table must have the length 256, found the shape ",
                   to_string(table.shape));
    table_ = elements<uint8_t>(table);
    reader.finish();
  }

  int64_t work(int) const override { return element_units(size_); }
  std::string kernels() const override { return kernel_.symbol; }

  void run(int, int64_t begin, int64_t end, void*) const override {
    for_element_units(size_, begin, end, [this](int64_t first, int64_t count) {
      kernel_.run(
          {.x = input<uint8_t>(0) + first, .y = output<uint8_t>() + first, .count = count, .table = table_.data()});
    });
  }

 private:
  const LutKernel& kernel_;
  int64_t size_;
  std::vector<uint8_t> table_;
};

}  // namespace

std::unique_ptr<LoadedStep> load_lut(StepReader& reader, const LoadOptions& options) {
  return std::make_unique<Lut>(reader, options);
}

}  // namespace q8
