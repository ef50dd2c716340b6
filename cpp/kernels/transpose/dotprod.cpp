// SPDX-License-Identifier: Apache-2.0
// transpose on aarch64: bytes in blocks of 16 x 16, and 3 or 4 planes woven into pixels by the stores that do that.
#include <arm_neon.h>

#include "kernels/transpose/transpose.h"

namespace q8 {
namespace {

constexpr int64_t lanes = 16;

// Elements [i0, i1) of the columns [j0, j1), one by one.
template <class T>
void one_by_one(const TransposeArgs& args, int64_t i0, int64_t i1, int64_t j0, int64_t j1) {
  const T* x = static_cast<const T*>(args.x);
  T* y = static_cast<T*>(args.y);
  for (int64_t j = j0; j < j1; ++j) {
    for (int64_t i = i0; i < i1; ++i) y[j * args.y_stride + i] = x[i * args.x_stride + j];
  }
}

// Four rounds of putting row k and row k + 8 together byte by byte make columns.
void block_16x16(const uint8_t* x, int64_t x_stride, uint8_t* y, int64_t y_stride) {
  uint8x16_t a[lanes], b[lanes];
  for (int64_t k = 0; k < lanes; ++k) a[k] = vld1q_u8(x + k * x_stride);
  for (int round = 0; round < 4; ++round) {
    for (int64_t k = 0; k < 8; ++k) {
      b[2 * k] = vzip1q_u8(a[k], a[k + 8]);
      b[2 * k + 1] = vzip2q_u8(a[k], a[k + 8]);
    }
    for (int64_t k = 0; k < lanes; ++k) a[k] = b[k];
  }
  for (int64_t k = 0; k < lanes; ++k) vst1q_u8(y + k * y_stride, a[k]);
}

// 3 or 4 planes to pixels of as many bytes without gaps. Returns how many columns are done.
int64_t weave(const TransposeArgs& args) {
  const uint8_t* x = static_cast<const uint8_t*>(args.x);
  uint8_t* y = static_cast<uint8_t*>(args.y);
  const auto load = [&](int64_t row, int64_t j) { return vld1q_u8(x + row * args.x_stride + j); };
  int64_t j = 0;
  for (; j + lanes <= args.columns; j += lanes) {
    if (args.rows == 4) {
      vst4q_u8(y + 4 * j, {{load(0, j), load(1, j), load(2, j), load(3, j)}});
    } else {
      vst3q_u8(y + 3 * j, {{load(0, j), load(1, j), load(2, j)}});
    }
  }
  return j;
}

void transpose_bytes(const TransposeArgs& args) {
  if ((args.rows == 3 || args.rows == 4) && args.y_stride == args.rows) {
    one_by_one<uint8_t>(args, 0, args.rows, weave(args), args.columns);
    return;
  }
  const uint8_t* x = static_cast<const uint8_t*>(args.x);
  uint8_t* y = static_cast<uint8_t*>(args.y);
  const int64_t rows = args.rows / lanes * lanes, columns = args.columns / lanes * lanes;
  for (int64_t i = 0; i < rows; i += lanes) {
    for (int64_t j = 0; j < columns; j += lanes) {
      block_16x16(x + i * args.x_stride + j, args.x_stride, y + j * args.y_stride + i, args.y_stride);
    }
  }
  one_by_one<uint8_t>(args, 0, rows, columns, args.columns);
  one_by_one<uint8_t>(args, rows, args.rows, 0, args.columns);
}

}  // namespace

void transpose_dotprod(const TransposeArgs& args) {
  if (args.element_bytes == 1) {
    transpose_bytes(args);
  } else {
    one_by_one<uint32_t>(args, 0, args.rows, 0, args.columns);
  }
}

}  // namespace q8
