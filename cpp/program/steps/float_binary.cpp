// SPDX-License-Identifier: Apache-2.0
// The step kind float_binary: its family along the runs of a broadcast.
#include "kernels/float_binary/float_binary.h"

#include "program/steps/binary.h"

namespace q8 {
namespace {

class FloatBinary final : public BinaryStep<FloatBinaryArgs> {
 public:
  FloatBinary(StepReader& reader, const LoadOptions& options) : BinaryStep(reader, float_binary_kernel(options.isa)) {
    args_.op = static_cast<FloatOperator>(reader.integer("operator", 0, 2));
    args_.a_dtype = reader.input(0).dtype;
    args_.b_dtype = reader.input(1).dtype;
    args_.a_zero_point = reader.zero_point("a_zero_point", args_.a_dtype);
    args_.b_zero_point = reader.zero_point("b_zero_point", args_.b_dtype);
    args_.a_scale = reader.positive_f32("a_scale_bits");
    args_.b_scale = reader.positive_f32("b_scale_bits");
    args_.y_scale = reader.positive_f32("y_scale_bits");
    if (reader.has("rounding")) args_.rule = static_cast<QuantizeRule>(reader.integer("rounding", 0, 5));
    reader.require(args_.rule != QuantizeRule::half_away && args_.rule != QuantizeRule::half_away_float64,
                   "rounding must be 0, 2, 4 or 5");
    args_.range = reader.range(reader.output().dtype);
    reader.finish();
  }
};

}  // namespace

std::unique_ptr<LoadedStep> load_float_binary(StepReader& reader, const LoadOptions& options) {
  return std::make_unique<FloatBinary>(reader, options);
}

}  // namespace q8
