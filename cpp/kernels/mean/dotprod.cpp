// SPDX-License-Identifier: Apache-2.0
// mean on aarch64: the rows as they are, 8 columns at a time; the zero points, which all columns share, at the end.
#include <arm_neon.h>

#include <cstring>

#include "kernels/mean/mean.h"

namespace q8 {
namespace {

constexpr int64_t lanes = 8;

int16x8_t widen(uint8x8_t bytes, DType dtype) {
  return dtype == DType::s8 ? vmovl_s8(vreinterpret_s8_u8(bytes)) : vreinterpretq_s16_u16(vmovl_u8(bytes));
}

// The sums of the columns [column, column + 8), of which the first `count` exist.
template <bool is_whole>
void sum_8(const MeanArgs& args, int64_t column, int64_t count, int32x4_t start, int32_t* sums) {
  const uint8_t* x = static_cast<const uint8_t*>(args.x) + column;
  int32x4_t low = start, high = start;
  for (int64_t r = 0; r < args.rows; ++r, x += args.x_stride) {
    uint8_t bytes[lanes] = {};
    if constexpr (!is_whole) std::memcpy(bytes, x, static_cast<size_t>(count));
    const int16x8_t row = widen(vld1_u8(is_whole ? x : bytes), args.x_dtype);
    low = vaddw_s16(low, vget_low_s16(row));
    high = vaddw_s16(high, vget_high_s16(row));
  }
  vst1q_s32(sums, low);
  vst1q_s32(sums + 4, high);
}

}  // namespace

void mean_dotprod(const MeanArgs& args) {
  const int32x4_t rows = vdupq_n_s32(static_cast<int32_t>(args.rows));  // modulo 2^32, as the sum
  const int32x4_t start = vmlsq_s32(vdupq_n_s32(0), vdupq_n_s32(args.x_zero_point), rows);
  int64_t b = 0;
  for (; b + lanes <= args.count; b += lanes) sum_8<true>(args, b, lanes, start, args.acc + b);
  if (const int64_t left = args.count - b; left > 0) {
    int32_t sums[lanes];
    sum_8<false>(args, b, left, start, sums);
    std::memcpy(args.acc + b, sums, static_cast<size_t>(left) * sizeof(int32_t));
  }
}

}  // namespace q8
