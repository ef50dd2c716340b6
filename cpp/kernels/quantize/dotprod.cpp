// SPDX-License-Identifier: Apache-2.0
// quantize on aarch64, 8 elements at a time. To saturate, then round, then clamp is to clamp to [qmin - zp, qmax - zp]
// and round: the bounds are integers inside the range of the dtype, and both roundings are monotonic.
#include <arm_neon.h>

#include <cstring>

#include "kernels/quantize/quantize.h"

namespace q8 {
namespace {

constexpr int64_t lanes = 8;

struct Parameters {
  float32x4_t scale, reciprocal;
  float32x4_t zero_point, low, high;  // the bounds of v
  int32x4_t added;                    // to the rounded v
};

Parameters parameters(float32x4_t scale, int32x4_t zero_point, const QuantizeArgs& args) {
  const bool is_inside = args.rule == QuantizeRule::half_even_fused;
  const int32x4_t added = is_inside ? vdupq_n_s32(0) : zero_point;
  return {.scale = scale,
          .reciprocal = vdivq_f32(vdupq_n_f32(1.0f), scale),
          .zero_point = vcvtq_f32_s32(zero_point),
          .low = vcvtq_f32_s32(vsubq_s32(vdupq_n_s32(args.range.qmin), added)),
          .high = vcvtq_f32_s32(vsubq_s32(vdupq_n_s32(args.range.qmax), added)),
          .added = added};
}

// 4 values as int32 within the range of the dtype. What compares with nothing, a NaN, becomes the lower bound.
template <QuantizeRule rule>
int32x4_t quantize_4(float32x4_t x, const Parameters& p) {
  float32x4_t v;
  if constexpr (rule == QuantizeRule::half_even_reciprocal) {
    v = vmulq_f32(x, p.reciprocal);
  } else if constexpr (rule == QuantizeRule::half_even_fused) {
    v = vfmaq_f32(p.zero_point, x, p.reciprocal);
  } else {
    v = vdivq_f32(x, p.scale);
  }
  const float32x4_t not_below = vbslq_f32(vcgtq_f32(v, p.low), v, p.low);
  const float32x4_t bounded = vbslq_f32(vcltq_f32(not_below, p.high), not_below, p.high);
  const bool is_away = rule == QuantizeRule::half_away;
  return vaddq_s32(is_away ? vcvtaq_s32_f32(bounded) : vcvtnq_s32_f32(bounded), p.added);
}

template <QuantizeRule rule>
void quantize_8(const float* x, const Parameters& first, const Parameters& last, uint8_t* y) {
  const int32x4_t low = quantize_4<rule>(vld1q_f32(x), first), high = quantize_4<rule>(vld1q_f32(x + 4), last);
  vst1_s8(reinterpret_cast<int8_t*>(y), vmovn_s16(vcombine_s16(vmovn_s32(low), vmovn_s32(high))));
}

// Fewer than 8, by way of memory that is long enough.
template <QuantizeRule rule>
void quantize_rest(const QuantizeArgs& args, int64_t at, int64_t count) {
  float x[lanes], scale[lanes];
  int32_t zero_point[lanes];
  uint8_t bytes[lanes];
  for (int64_t i = 0; i < lanes; ++i) {
    const int64_t from = at + (i < count ? i : 0);
    x[i] = args.x[from];
    scale[i] = args.scale[from * args.parameter_step];
    zero_point[i] = args.zero_point[from * args.parameter_step];
  }
  quantize_8<rule>(x, parameters(vld1q_f32(scale), vld1q_s32(zero_point), args),
                   parameters(vld1q_f32(scale + 4), vld1q_s32(zero_point + 4), args), bytes);
  std::memcpy(static_cast<uint8_t*>(args.y) + at, bytes, static_cast<size_t>(count));
}

template <QuantizeRule rule>
void quantize_by(const QuantizeArgs& args) {
  uint8_t* y = static_cast<uint8_t*>(args.y);
  Parameters first = parameters(vdupq_n_f32(args.scale[0]), vdupq_n_s32(args.zero_point[0]), args), last = first;
  int64_t i = 0;
  for (; i + lanes <= args.count; i += lanes) {
    if (args.parameter_step != 0) {
      first = parameters(vld1q_f32(args.scale + i), vld1q_s32(args.zero_point + i), args);
      last = parameters(vld1q_f32(args.scale + i + 4), vld1q_s32(args.zero_point + i + 4), args);
    }
    quantize_8<rule>(args.x + i, first, last, y + i);
  }
  if (i < args.count) quantize_rest<rule>(args, i, args.count - i);
}

}  // namespace

void quantize_dotprod(const QuantizeArgs& args) {
  switch (args.rule) {
    case QuantizeRule::half_even:
      return quantize_by<QuantizeRule::half_even>(args);
    case QuantizeRule::half_away:
      return quantize_by<QuantizeRule::half_away>(args);
    case QuantizeRule::half_even_reciprocal:
      return quantize_by<QuantizeRule::half_even_reciprocal>(args);
    case QuantizeRule::half_even_fused:
      return quantize_by<QuantizeRule::half_even_fused>(args);
    default:
      quantize_reference(args);  // in binary64
  }
}

}  // namespace q8
