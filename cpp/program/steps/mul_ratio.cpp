// SPDX-License-Identifier: Apache-2.0
// The step kind mul_ratio: the family mul along the runs of a broadcast.
#include "kernels/mul/mul.h"
#include "program/steps/binary.h"

namespace q8 {
namespace {

class MulRatio final : public BinaryStep<MulArgs> {
 public:
  MulRatio(StepReader& reader, const LoadOptions& options) : BinaryStep(reader, mul_kernel(options.isa)) {
    args_.a_dtype = reader.input(0).dtype;
    args_.b_dtype = reader.input(1).dtype;
    args_.a_zero_point = reader.zero_point("a_zero_point", args_.a_dtype);
    args_.b_zero_point = reader.zero_point("b_zero_point", args_.b_dtype);
    args_.ratio = reader.positive_f32("ratio_bits");
    args_.fused = reader.has("fused") && reader.flag("fused");
    args_.range = reader.range(reader.output().dtype);
    reader.finish();
  }
};

}  // namespace

std::unique_ptr<LoadedStep> load_mul_ratio(StepReader& reader, const LoadOptions& options) {
  return std::make_unique<MulRatio>(reader, options);
}

}  // namespace q8
