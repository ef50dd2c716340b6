// SPDX-License-Identifier: Apache-2.0
// add on aarch64, 16 elements at a time. To saturate, then round, then clamp is to round, saturate and clamp: the
// bounds are integers inside the range of the dtype, and half_even is monotonic. The conversion to int32 saturates:
// what is not below 2^31 becomes the least value by a mask.
#include <arm_neon.h>

#include <cstring>

#include "kernels/add/add.h"

namespace q8 {
namespace {

constexpr int64_t lanes = 16;

struct Floats {
  float32x4_t of[4];
};

template <DType dtype>
Floats to_floats(uint8x16_t bytes) {
  if constexpr (dtype == DType::s8) {
    const int8x16_t x = vreinterpretq_s8_u8(bytes);
    const int16x8_t low = vmovl_s8(vget_low_s8(x)), high = vmovl_s8(vget_high_s8(x));
    return {{vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))), vcvtq_f32_s32(vmovl_s16(vget_high_s16(low))),
             vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))), vcvtq_f32_s32(vmovl_s16(vget_high_s16(high)))}};
  } else {
    const uint16x8_t low = vmovl_u8(vget_low_u8(bytes)), high = vmovl_u8(vget_high_u8(bytes));
    return {{vcvtq_f32_u32(vmovl_u16(vget_low_u16(low))), vcvtq_f32_u32(vmovl_u16(vget_high_u16(low))),
             vcvtq_f32_u32(vmovl_u16(vget_low_u16(high))), vcvtq_f32_u32(vmovl_u16(vget_high_u16(high)))}};
  }
}

// 16 elements, or one of them 16 times; of those that do not exist, any.
uint8x16_t load(const void* values, int64_t at, int64_t step, int64_t count) {
  const uint8_t* from = static_cast<const uint8_t*>(values);
  if (step == 0) return vdupq_n_u8(from[0]);
  if (count >= lanes) return vld1q_u8(from + at);
  uint8_t rest[lanes] = {};
  std::memcpy(rest, from + at, static_cast<size_t>(count));
  return vld1q_u8(rest);
}

template <DType dtype>
uint8x16_t add_16(uint8x16_t a, uint8x16_t b, const AddArgs& args) {
  const Floats left = to_floats<dtype>(a), right = to_floats<dtype>(b);
  int16x4_t q[4];
  for (int i = 0; i < 4; ++i) {
    const float32x4_t inner = vfmaq_n_f32(vdupq_n_f32(args.fixed), right.of[i], args.b_ratio);
    const float32x4_t v = vfmaq_n_f32(inner, left.of[i], args.a_ratio);
    const uint32x4_t fits = vcltq_f32(v, vdupq_n_f32(2147483648.0f));
    q[i] = vqmovn_s32(vbslq_s32(fits, vcvtnq_s32_f32(v), vdupq_n_s32(INT32_MIN)));
  }
  const int16x8_t low = vcombine_s16(q[0], q[1]), high = vcombine_s16(q[2], q[3]);
  if constexpr (dtype == DType::s8) {
    const int8x16_t qmin = vdupq_n_s8(static_cast<int8_t>(args.range.qmin));
    const int8x16_t qmax = vdupq_n_s8(static_cast<int8_t>(args.range.qmax));
    const int8x16_t bytes = vcombine_s8(vqmovn_s16(low), vqmovn_s16(high));
    return vreinterpretq_u8_s8(vminq_s8(vmaxq_s8(bytes, qmin), qmax));
  } else {
    const uint8x16_t qmin = vdupq_n_u8(static_cast<uint8_t>(args.range.qmin));
    const uint8x16_t qmax = vdupq_n_u8(static_cast<uint8_t>(args.range.qmax));
    return vminq_u8(vmaxq_u8(vcombine_u8(vqmovun_s16(low), vqmovun_s16(high)), qmin), qmax);
  }
}

template <DType dtype>
void run(const AddArgs& args) {
  uint8_t* y = static_cast<uint8_t*>(args.y);
  for (int64_t i = 0; i < args.count; i += lanes) {
    const int64_t left = args.count - i;
    const uint8x16_t q = add_16<dtype>(load(args.a, i, args.a_step, left), load(args.b, i, args.b_step, left), args);
    if (left >= lanes) {
      vst1q_u8(y + i, q);
    } else {
      uint8_t bytes[lanes];
      vst1q_u8(bytes, q);
      std::memcpy(y + i, bytes, static_cast<size_t>(left));
    }
  }
}

}  // namespace

void add_dotprod(const AddArgs& args) {
  if (args.range.dtype == DType::s8) {
    run<DType::s8>(args);
  } else {
    run<DType::u8>(args);
  }
}

}  // namespace q8
