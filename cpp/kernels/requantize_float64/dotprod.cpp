// SPDX-License-Identifier: Apache-2.0
// requantize_float64 on aarch64, which has the conversion to the nearest integer with ties away from zero. It saturates
// to int64: what does not fit int32 becomes -2^31 by a mask. The sum with the zero point wraps.
#include "kernels/requantize/dotprod.h"

#include "kernels/requantize_float64/requantize_float64.h"

namespace q8 {
namespace {

struct Parameters {
  float64x2_t first, last;  // of two channels each
};

int32x2_t nearest_2(int32x2_t acc, float64x2_t scale) {
  const int64x2_t nearest = vcvtaq_s64_f64(vmulq_f64(vcvtq_f64_s64(vmovl_s32(acc)), scale));
  const int32x2_t low = vmovn_s64(nearest);
  const uint32x2_t fits = vmovn_u64(vceqq_s64(vmovl_s32(low), nearest));
  return vbsl_s32(fits, low, vdup_n_s32(INT32_MIN));
}

}  // namespace

void requantize_float64_dotprod(const RequantizeFloat64Args& args) {
  const int32x4_t zero_point = vdupq_n_s32(args.range.zero_point);
  const auto load = [&](int64_t c, int64_t count) {
    double scale[4] = {};
    for (int64_t i = 0; i < 4 && c + i < count; ++i) scale[i] = args.scale[(c + i) * args.scale_stride];
    if (args.scale_stride == 0) scale[1] = scale[2] = scale[3] = scale[0];
    return Parameters{.first = vld1q_f64(scale), .last = vld1q_f64(scale + 2)};
  };
  const auto rescale = [zero_point](int32x4_t acc, const Parameters& by) {
    const int32x2_t first = nearest_2(vget_low_s32(acc), by.first), last = nearest_2(vget_high_s32(acc), by.last);
    return vaddq_s32(vcombine_s32(first, last), zero_point);
  };
  requantize_blocks(args, args.scale_stride, 0, load, rescale);
}

}  // namespace q8
