// SPDX-License-Identifier: Apache-2.0
// The step kind average_pool_scaled.
#include "kernels/average_pool_scaled/average_pool_scaled.h"

#include "program/steps/pool_step.h"

namespace q8 {
namespace {

class AveragePoolScaled final : public PoolStep<AveragePoolScaledArgs> {
 public:
  AveragePoolScaled(StepReader& reader, const LoadOptions& options)
      : PoolStep(reader, average_pool_scaled_kernel(options.isa)) {
    args_.range = reader.range(reader.output().dtype);
    args_.x_zero_point = reader.zero_point("x_zero_point", args_.range.dtype);
    args_.factor = reader.positive_f32("factor_bits");
    args_.rule = static_cast<AverageRule>(reader.integer("rounding", 0, 2));
    args_.inside_from = reader.has("inside_from") ? reader.integer("inside_from", 0, INT32_MAX) : INT64_MAX;
    reader.finish();
  }

  size_t scratch_bytes() const override { return sums_bytes<int64_t>(1); }
};

}  // namespace

std::unique_ptr<LoadedStep> load_average_pool_scaled(StepReader& reader, const LoadOptions& options) {
  return std::make_unique<AveragePoolScaled>(reader, options);
}

}  // namespace q8
