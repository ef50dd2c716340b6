// SPDX-License-Identifier: Apache-2.0
// The step kind average_pool_raw.
#include "kernels/average_pool_raw/average_pool_raw.h"

#include "program/steps/pool_step.h"

namespace q8 {
namespace {

class AveragePoolRaw final : public PoolStep<AveragePoolRawArgs> {
 public:
  AveragePoolRaw(StepReader& reader, const LoadOptions& options)
      : PoolStep(reader, average_pool_raw_kernel(options.isa)) {
    expect_taps_inside(reader, window_);
    const DType dtype = reader.output().dtype;
    args_.range = reader.bounds(dtype);
    if (reader.has("x_zero_point")) args_.range.zero_point = reader.zero_point("x_zero_point", dtype);
    if (reader.has("division")) args_.division = static_cast<Division>(reader.integer("division", 0, 1));
    reader.finish();
  }

  size_t scratch_bytes() const override { return sums_bytes<int64_t>(1); }
};

}  // namespace

std::unique_ptr<LoadedStep> load_average_pool_raw(StepReader& reader, const LoadOptions& options) {
  return std::make_unique<AveragePoolRaw>(reader, options);
}

}  // namespace q8
