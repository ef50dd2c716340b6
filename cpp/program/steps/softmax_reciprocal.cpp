// SPDX-License-Identifier: Apache-2.0
// The step kind softmax_reciprocal: float32 exponentials, times the reciprocal of their sum.
#include "kernels/softmax_reciprocal/softmax_reciprocal.h"

#include "program/steps/softmax_step.h"

namespace q8 {
namespace {

class SoftmaxReciprocal final : public SoftmaxStep<SoftmaxReciprocalArgs> {
 public:
  SoftmaxReciprocal(StepReader& reader, const LoadOptions& options)
      : SoftmaxStep(reader, softmax_reciprocal_kernel(options.isa)), table_(float_table(reader)) {
    for (const float value : table_) {
      reader.require(value >= 0.0f && value <= 1.0f, "the array table must hold the bits of float32 in [0, 1], found ",
                     value);
    }
    reader.require(table_.back() == 1.0f, "the last entry of the array table must be 1, found ", table_.back());
    args_.table = table_.data();
    args_.range = reader.bounds(reader.output().dtype);
    reader.finish();
  }

 private:
  std::vector<float> table_;
};

}  // namespace

std::unique_ptr<LoadedStep> load_softmax_reciprocal(StepReader& reader, const LoadOptions& options) {
  return std::make_unique<SoftmaxReciprocal>(reader, options);
}

}  // namespace q8
