// SPDX-License-Identifier: Apache-2.0
// requantize_converted on aarch64. Its conversion to int32 saturates: what is not below 2^31 becomes -2^31 by a mask.
#include "kernels/requantize/dotprod.h"

#include "kernels/requantize_converted/requantize_converted.h"

namespace q8 {
namespace {

struct Parameters {
  float32x4_t scale, bias;
};

}  // namespace

void requantize_converted_dotprod(const RequantizeConvertedArgs& args) {
  const float32x4_t bias_scale = vdupq_n_f32(args.bias_scale);
  const auto load = [&](int64_t c, int64_t count) {
    const auto values = [&](const float* from) { return load_parameters(from, args.parameter_stride, c, count); };
    return Parameters{.scale = values(args.scale), .bias = args.bias != nullptr ? values(args.bias) : vdupq_n_f32(0)};
  };
  const auto rescale = [bias_scale](int32x4_t acc, const Parameters& by) {
    const float32x4_t v = vmulq_f32(vfmaq_f32(vcvtq_f32_s32(acc), by.bias, bias_scale), by.scale);
    const uint32x4_t fits = vcltq_f32(v, vdupq_n_f32(2147483648.0f));
    return vbslq_s32(fits, vcvtnq_s32_f32(v), vdupq_n_s32(INT32_MIN));
  };
  requantize_blocks(args, args.parameter_stride, args.range.zero_point, load, rescale);
}

}  // namespace q8
