// SPDX-License-Identifier: Apache-2.0
// The step kind float_softmax: float32 exponentials of dequantized values, times the reciprocal of their sum.
#include "kernels/float_softmax/float_softmax.h"

#include <cmath>

#include "program/steps/softmax_step.h"

namespace q8 {
namespace {

class FloatSoftmax final : public SoftmaxStep<FloatSoftmaxArgs> {
 public:
  FloatSoftmax(StepReader& reader, const LoadOptions& options)
      : SoftmaxStep(reader, float_softmax_kernel(options.isa)) {
    args_.x_zero_point = reader.zero_point("x_zero_point", args_.x_dtype);
    args_.x_scale = reader.positive_f32("x_scale_bits");
    reader.require(std::isfinite(255.0f * args_.x_scale), "255 times x_scale must be finite, found the scale ",
                   args_.x_scale);
    args_.y_scale = reader.positive_f32("y_scale_bits");
    args_.range = reader.range(reader.output().dtype);
    reader.finish();
  }
};

}  // namespace

std::unique_ptr<LoadedStep> load_float_softmax(StepReader& reader, const LoadOptions& options) {
  return std::make_unique<FloatSoftmax>(reader, options);
}

}  // namespace q8
