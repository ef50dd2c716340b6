// SPDX-License-Identifier: Apache-2.0
// The step kind copy: the same bytes under another shape.
#include <cstring>

#include "program/loaded_step.h"
#include "program/steps/units.h"

namespace q8 {
namespace {

class Copy final : public LoadedStep {
 public:
  explicit Copy(StepReader& reader) {
    reader.expect_counts(1, 1);
    const Buffer &x = reader.input(0), &y = reader.output();
    reader.expect_dtype(y, x.dtype, "y");
    const int64_t elements = element_count(x.shape);
    reader.require(element_count(y.shape) == elements, "x and y must have the same number of elements, found ",
                   to_string(x.shape), " and ", to_string(y.shape));
    bytes_ = elements * static_cast<int64_t>(dtype_bytes(x.dtype));
    reader.finish();
  }

  int64_t work(int) const override { return element_units(bytes_); }
  std::string kernels() const override { return "copy"; }

  void run(int, int64_t begin, int64_t end, void*) const override {
    for_element_units(bytes_, begin, end, [this](int64_t first, int64_t count) {
      std::memcpy(output<uint8_t>() + first, input<uint8_t>(0) + first, static_cast<size_t>(count));
    });
  }

 private:
  int64_t bytes_;
};

}  // namespace

std::unique_ptr<LoadedStep> load_copy(StepReader& reader, const LoadOptions&) { return std::make_unique<Copy>(reader); }

}  // namespace q8
