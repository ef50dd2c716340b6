// SPDX-License-Identifier: Apache-2.0
// The step kind add_fma: the family add along the runs of a broadcast.
#include "kernels/add/add.h"
#include "program/steps/binary.h"

namespace q8 {
namespace {

class AddFma final : public BinaryStep<AddArgs> {
 public:
  AddFma(StepReader& reader, const LoadOptions& options) : BinaryStep(reader, add_kernel(options.isa)) {
    reader.expect_dtype(reader.input(0), reader.output().dtype, "a");
    reader.expect_dtype(reader.input(1), reader.output().dtype, "b");
    args_.a_ratio = reader.positive_f32("a_ratio_bits");
    args_.b_ratio = reader.positive_f32("b_ratio_bits");
    args_.fixed = reader.finite_f32("fixed_bits");
    args_.range = reader.bounds(reader.output().dtype);
    reader.finish();
  }
};

}  // namespace

std::unique_ptr<LoadedStep> load_add_fma(StepReader& reader, const LoadOptions& options) {
  return std::make_unique<AddFma>(reader, options);
}

}  // namespace q8
