// SPDX-License-Identifier: Apache-2.0
// The step kind mul: the family multiply fills a run of accumulators, which is then requantized.
#include "kernels/multiply/multiply.h"
#include "program/steps/binary.h"

namespace q8 {
namespace {

class Mul final : public RequantizedBinaryStep<MultiplyArgs> {
 public:
  Mul(StepReader& reader, const LoadOptions& options)
      : RequantizedBinaryStep(reader, multiply_kernel(options.isa), options.isa) {
    args_.a_dtype = reader.input(0).dtype;
    args_.b_dtype = reader.input(1).dtype;
    args_.a_zero_point = reader.zero_point("a_zero_point", args_.a_dtype);
    args_.b_zero_point = reader.zero_point("b_zero_point", args_.b_dtype);
    reader.finish();
  }
};

}  // namespace

std::unique_ptr<LoadedStep> load_mul(StepReader& reader, const LoadOptions& options) {
  return std::make_unique<Mul>(reader, options);
}

}  // namespace q8
