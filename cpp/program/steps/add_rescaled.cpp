// SPDX-License-Identifier: Apache-2.0
// The step kind add_rescaled: the family add_rescaled fills a run of accumulators, which is then requantized.
#include "kernels/add_rescaled/add_rescaled.h"

#include "program/steps/binary.h"

namespace q8 {
namespace {

class AddRescaled final : public RequantizedBinaryStep<AddRescaledArgs> {
 public:
  AddRescaled(StepReader& reader, const LoadOptions& options)
      : RequantizedBinaryStep(reader, add_rescaled_kernel(options.isa), options.isa),
        a_rescaled_(reader.int32_array("a_rescaled", {256})),
        b_rescaled_(reader.int32_array("b_rescaled", {256})) {
    args_.a_rescaled = a_rescaled_.data();
    args_.b_rescaled = b_rescaled_.data();
    reader.finish();
  }

 private:
  std::vector<int32_t> a_rescaled_, b_rescaled_;  // [256]
};

}  // namespace

std::unique_ptr<LoadedStep> load_add_rescaled(StepReader& reader, const LoadOptions& options) {
  return std::make_unique<AddRescaled>(reader, options);
}

}  // namespace q8
