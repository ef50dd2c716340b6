// SPDX-License-Identifier: Apache-2.0
// The step kind average_pool.
#include "kernels/average_pool/average_pool.h"

#include "program/steps/pool_step.h"

namespace q8 {
namespace {

class AveragePool final : public PoolStep<AveragePoolArgs> {
 public:
  AveragePool(StepReader& reader, const LoadOptions& options) : PoolStep(reader, average_pool_kernel(options.isa)) {
    args_.count_include_pad = reader.flag("count_include_pad");
    if (!args_.count_include_pad) expect_taps_inside(reader, window_);
    if (reader.has("form")) args_.form = static_cast<AveragePoolForm>(reader.integer("form", 0, 2));
    args_.range = reader.range(reader.output().dtype);
    args_.x_zero_point = reader.zero_point("x_zero_point", args_.range.dtype);
    args_.x_scale = reader.positive_f32("x_scale_bits");
    args_.y_scale = reader.positive_f32("y_scale_bits");
    reader.finish();
  }

  size_t scratch_bytes() const override { return sums_bytes<float>(2); }
};

}  // namespace

std::unique_ptr<LoadedStep> load_average_pool(StepReader& reader, const LoadOptions& options) {
  return std::make_unique<AveragePool>(reader, options);
}

}  // namespace q8
