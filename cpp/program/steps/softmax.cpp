// SPDX-License-Identifier: Apache-2.0
// The step kind softmax: float32 exponentials, divided by their sum.
#include "kernels/softmax/softmax.h"

#include <cmath>

#include "program/steps/softmax_step.h"

namespace q8 {
namespace {

class Softmax final : public SoftmaxStep<SoftmaxArgs> {
 public:
  Softmax(StepReader& reader, const LoadOptions& options)
      : SoftmaxStep(reader, softmax_kernel(options.isa)), table_(float_table(reader)) {
    for (const float value : table_) {
      reader.require(std::isfinite(value) && value >= 0.0f,
                     "the array table must hold the bits of finite float32 that are not negative, found ", value);
    }
    reader.require(table_.back() > 0.0f, "the last entry of the array table must be positive, found ", table_.back());
    args_.table = table_.data();
    args_.numerator = reader.finite_f32("numerator_bits");
    reader.require(args_.numerator >= 0.0f, "numerator must not be negative, found ", args_.numerator);
    args_.range = reader.range(reader.output().dtype);
    reader.finish();
  }

 private:
  std::vector<float> table_;
};

}  // namespace

std::unique_ptr<LoadedStep> load_softmax(StepReader& reader, const LoadOptions& options) {
  return std::make_unique<Softmax>(reader, options);
}

}  // namespace q8
