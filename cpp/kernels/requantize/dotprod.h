// SPDX-License-Identifier: Apache-2.0
// What the kernels of all requantize families share on aarch64: a tile goes by blocks of 16 channels, whose parameters
// are prepared once for all rows. Internal linkage.
//
// 16 int32 values saturate to int16, the zero point is added there and saturates, they saturate to the dtype, then
// they are clamped. That is to clamp the sum itself: qmin and qmax lie within the dtype, whose range lies far within
// int16.
#pragma once

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "numerics/requantize.h"

namespace q8 {
namespace {

constexpr int64_t block_channels = 16;

[[maybe_unused]] int32x4_t load_vector(const int32_t* from) { return vld1q_s32(from); }
[[maybe_unused]] float32x4_t load_vector(const float* from) { return vld1q_f32(from); }

// Channels [channel, channel + 4) of parameters of which `count` exist, the others 0; or one for all.
template <class T>
[[maybe_unused]] auto load_parameters(const T* from, int64_t stride, int64_t channel, int64_t count) {
  T values[4] = {};
  for (int64_t i = 0; i < 4 && channel + i < count; ++i) values[i] = from[stride * (channel + i)];
  if (stride == 0) values[1] = values[2] = values[3] = values[0];
  return load_vector(values);
}

struct Narrowing {
  int16x8_t zero_point;
  int8x16_t qmin, qmax;  // as bytes
  bool is_signed;
};

Narrowing make_narrowing(const QuantizedRange& range, int32_t zero_point) {
  return {.zero_point = vdupq_n_s16(static_cast<int16_t>(zero_point)),
          .qmin = vdupq_n_s8(static_cast<int8_t>(range.qmin)),
          .qmax = vdupq_n_s8(static_cast<int8_t>(range.qmax)),
          .is_signed = range.dtype == DType::s8};
}

// The values of a block, four channels each.
struct Values {
  int32x4_t of[4];
};

uint8x16_t narrow_16(const Values& q, const Narrowing& by) {
  const int16x8_t low = vcombine_s16(vqmovn_s32(q.of[0]), vqmovn_s32(q.of[1]));
  const int16x8_t high = vcombine_s16(vqmovn_s32(q.of[2]), vqmovn_s32(q.of[3]));
  const int16x8_t first = vqaddq_s16(low, by.zero_point), last = vqaddq_s16(high, by.zero_point);
  if (by.is_signed) {
    const int8x16_t bytes = vcombine_s8(vqmovn_s16(first), vqmovn_s16(last));
    return vreinterpretq_u8_s8(vminq_s8(vmaxq_s8(bytes, by.qmin), by.qmax));
  }
  const uint8x16_t bytes = vcombine_u8(vqmovun_s16(first), vqmovun_s16(last));
  return vminq_u8(vmaxq_u8(bytes, vreinterpretq_u8_s8(by.qmin)), vreinterpretq_u8_s8(by.qmax));
}

// load(channel, count) gives the Parameters of 4 channels of which those below count exist, rescale(accumulators,
// parameters) 4 int32 values to which zero_point is to be added.
template <class Args, class Load, class Rescale>
void requantize_blocks(const Args& args, int64_t parameter_stride, int32_t zero_point, const Load& load,
                       const Rescale& rescale) {
  const Narrowing narrowing = make_narrowing(args.range, zero_point);
  decltype(load(0, 0)) by[4] = {};
  for (int64_t c = 0; c < args.channels; c += block_channels) {
    const int64_t left = args.channels - c;
    const bool is_whole = left >= block_channels;
    const size_t count = static_cast<size_t>(is_whole ? block_channels : left);
    for (int64_t i = 0; i < 4 && (parameter_stride != 0 || c == 0); ++i) by[i] = load(c + 4 * i, args.channels);
    int32_t rest[block_channels] = {};
    uint8_t bytes[block_channels];
    const int32_t* acc = args.acc + c;
    uint8_t* y = static_cast<uint8_t*>(args.y) + c;
    for (int64_t r = 0; r < args.rows; ++r, acc += args.acc_stride, y += args.y_stride) {
      if (!is_whole) std::memcpy(rest, acc, count * sizeof(int32_t));
      const int32_t* from = is_whole ? acc : rest;
      Values q;
      for (int i = 0; i < 4; ++i) q.of[i] = rescale(vld1q_s32(from + 4 * i), by[i]);
      vst1q_u8(is_whole ? y : bytes, narrow_16(q, narrowing));
      if (!is_whole) std::memcpy(y, bytes, count);
    }
  }
}

}  // namespace
}  // namespace q8
