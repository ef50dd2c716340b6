// SPDX-License-Identifier: Apache-2.0
// dequantize on aarch64, 8 elements at a time. Product and sum round each: no fused instruction.
#include <arm_neon.h>

#include <cstring>

#include "kernels/dequantize/dequantize.h"

namespace q8 {
namespace {

constexpr int64_t lanes = 8;

struct Integers {
  int32x4_t low, high;
};

Integers load(const void* x, int64_t at, DType dtype) {
  if (dtype == DType::s32) {
    const int32_t* from = static_cast<const int32_t*>(x) + at;
    return {vld1q_s32(from), vld1q_s32(from + 4)};
  }
  const uint8x8_t bytes = vld1_u8(static_cast<const uint8_t*>(x) + at);
  const int16x8_t wide =
      dtype == DType::s8 ? vmovl_s8(vreinterpret_s8_u8(bytes)) : vreinterpretq_s16_u16(vmovl_u8(bytes));
  return {vmovl_s16(vget_low_s16(wide)), vmovl_s16(vget_high_s16(wide))};
}

float32x4_t dequantize_4(int32x4_t x, float32x4_t scale, int32x4_t zero_point, bool is_affine) {
  if (!is_affine) return vmulq_f32(vcvtq_f32_s32(vsubq_s32(x, zero_point)), scale);
  const float32x4_t negated = vcvtq_f32_s32(vnegq_s32(zero_point));
  return vaddq_f32(vmulq_f32(vcvtq_f32_s32(x), scale), vmulq_f32(negated, scale));
}

// Fewer than 8, by way of memory that is long enough.
void dequantize_rest(const DequantizeArgs& args, int64_t at, int64_t count) {
  const int64_t bytes = args.x_dtype == DType::s32 ? 4 : 1;
  alignas(16) uint8_t from[4 * lanes] = {};
  float scale[lanes] = {}, y[lanes];
  int32_t zero_point[lanes] = {};
  std::memcpy(from, static_cast<const uint8_t*>(args.x) + at * bytes, static_cast<size_t>(count * bytes));
  for (int64_t i = 0; i < count; ++i) {
    scale[i] = args.scale[(at + i) * args.parameter_step];
    if (args.zero_point != nullptr) zero_point[i] = args.zero_point[(at + i) * args.parameter_step];
  }
  const Integers x = load(from, 0, args.x_dtype);
  vst1q_f32(y, dequantize_4(x.low, vld1q_f32(scale), vld1q_s32(zero_point), args.is_affine));
  vst1q_f32(y + 4, dequantize_4(x.high, vld1q_f32(scale + 4), vld1q_s32(zero_point + 4), args.is_affine));
  std::memcpy(args.y + at, y, static_cast<size_t>(count) * sizeof(float));
}

}  // namespace

void dequantize_dotprod(const DequantizeArgs& args) {
  const bool per_element = args.parameter_step != 0;
  float32x4_t scale_low = vdupq_n_f32(args.scale[0]), scale_high = scale_low;
  int32x4_t zero_low = vdupq_n_s32(args.zero_point == nullptr ? 0 : args.zero_point[0]), zero_high = zero_low;
  int64_t i = 0;
  for (; i + lanes <= args.count; i += lanes) {
    if (per_element) {
      scale_low = vld1q_f32(args.scale + i), scale_high = vld1q_f32(args.scale + i + 4);
      if (args.zero_point != nullptr) {
        zero_low = vld1q_s32(args.zero_point + i), zero_high = vld1q_s32(args.zero_point + i + 4);
      }
    }
    const Integers x = load(args.x, i, args.x_dtype);
    vst1q_f32(args.y + i, dequantize_4(x.low, scale_low, zero_low, args.is_affine));
    vst1q_f32(args.y + i + 4, dequantize_4(x.high, scale_high, zero_high, args.is_affine));
  }
  if (i < args.count) dequantize_rest(args, i, args.count - i);
}

}  // namespace q8
