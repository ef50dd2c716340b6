// SPDX-License-Identifier: Apache-2.0
// The step kind softmax_fixed: exponentials and quotient in fixed point.
#include "kernels/softmax_fixed/softmax_fixed.h"

#include <algorithm>

#include "program/steps/softmax_step.h"

namespace q8 {
namespace {

class SoftmaxFixed final : public SoftmaxStep<SoftmaxFixedArgs> {
 public:
  SoftmaxFixed(StepReader& reader, const LoadOptions& options)
      : SoftmaxStep(reader, softmax_fixed_kernel(options.isa)), table_(reader.int32_array("table", {256})) {
    reader.require(args_.depth <= max_depth, "D must be at most ", max_depth, ", found ", args_.depth);
    reader.require(*std::min_element(table_.begin(), table_.end()) >= 0 && table_.back() >= 1 << 30,
                   "the array table must not hold negative values and end with at least 2^30, found ", table_.back(),
                   " at its end");
    args_.table = table_.data();
    args_.range = reader.bounds(reader.output().dtype);
    reader.finish();
  }

 private:
  static constexpr int64_t max_depth = 4095;

  std::vector<int32_t> table_;
};

}  // namespace

std::unique_ptr<LoadedStep> load_softmax_fixed(StepReader& reader, const LoadOptions& options) {
  return std::make_unique<SoftmaxFixed>(reader, options);
}

}  // namespace q8
