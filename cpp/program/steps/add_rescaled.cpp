// SPDX-License-Identifier: Apache-2.0
// The step kind add_rescaled: the family add_rescaled fills a run of accumulators, which is then requantized.
#include "kernels/add_rescaled/add_rescaled.h"

#include <optional>

#include "program/steps/binary.h"

namespace q8 {
namespace {

class AddRescaled final : public RequantizedBinaryStep<AddRescaledArgs> {
 public:
  AddRescaled(StepReader& reader, const LoadOptions& options)
      : RequantizedBinaryStep(reader, add_rescaled_kernel(options.isa), options.isa),
        a_rescaled_(reader.int32_array("a_rescaled", {256})),
        b_rescaled_(reader.int32_array("b_rescaled", {256})),
        a_line_(line_of(a_rescaled_.data(), reader.input(0).dtype == DType::s8)),
        b_line_(line_of(b_rescaled_.data(), reader.input(1).dtype == DType::s8)) {
    args_.a_rescaled = a_rescaled_.data();
    args_.b_rescaled = b_rescaled_.data();
    if (a_line_ && b_line_) {
      args_.a_line = &*a_line_;
      args_.b_line = &*b_line_;
    }
    reader.finish();
  }

 private:
  std::vector<int32_t> a_rescaled_, b_rescaled_;  // [256]
  std::optional<Line> a_line_, b_line_;
};

}  // namespace

std::unique_ptr<LoadedStep> load_add_rescaled(StepReader& reader, const LoadOptions& options) {
  return std::make_unique<AddRescaled>(reader, options);
}

}  // namespace q8
