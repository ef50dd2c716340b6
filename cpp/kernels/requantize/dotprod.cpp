// SPDX-License-Identifier: Apache-2.0
// requantize on aarch64. To saturate, then round, then clamp is to clamp and round: the bounds are integers inside the
// range of the dtype, and half_even is monotonic. The conversion to int32 saturates.
#include "kernels/requantize/dotprod.h"

#include "kernels/requantize/requantize.h"

namespace q8 {

void requantize_dotprod(const RequantizeArgs& args) {
  const auto load = [&](int64_t c, int64_t count) { return load_parameters(args.scale, args.scale_stride, c, count); };
  const auto rescale = [](int32x4_t acc, float32x4_t scale) {
    return vcvtnq_s32_f32(vmulq_f32(vcvtq_f32_s32(acc), scale));
  };
  requantize_blocks(args, args.scale_stride, args.range.zero_point, load, rescale);
}

}  // namespace q8
