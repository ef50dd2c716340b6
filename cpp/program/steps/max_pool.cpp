// SPDX-License-Identifier: Apache-2.0
// The step kind max_pool.
#include "kernels/max_pool/max_pool.h"

#include "program/steps/pool_step.h"

namespace q8 {
namespace {

class MaxPool final : public PoolStep<MaxPoolArgs> {
 public:
  MaxPool(StepReader& reader, const LoadOptions& options) : PoolStep(reader, max_pool_kernel(options.isa)) {
    args_.dtype = reader.input(0).dtype;
    expect_taps_inside(reader, window_);
    reader.finish();
  }
};

}  // namespace

std::unique_ptr<LoadedStep> load_max_pool(StepReader& reader, const LoadOptions& options) {
  return std::make_unique<MaxPool>(reader, options);
}

}  // namespace q8
