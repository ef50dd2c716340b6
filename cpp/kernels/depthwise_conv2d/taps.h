// SPDX-License-Identifier: Apache-2.0
// What depthwise_conv2d with AVX-512 reads: packed weights, and the bytes under each tap. Internal linkage.
//
// Taps are taken in pairs, so that vpmaddwd adds two products of int16: x - xz and w - wz are at most 255 in magnitude,
// so nothing saturates. A last single tap is paired with a weight of 0.
//
// unpacklo and unpackhi interleave two vectors of int16 in each 128-bit lane by itself:
//
//   channels of a lane l     8l ... 8l+3 | 8l+4 ... 8l+7
//   half 0 (unpacklo)        8l ... 8l+3     both taps of each
//   half 1 (unpackhi)        8l+4 ... 8l+7   both taps of each
//
// The weights are packed in this order: pairs[block][pair][half][lane][4 channels][2 taps] int16.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/depthwise_conv2d/depthwise_conv2d.h"

namespace q8 {
namespace {

int64_t count_taps(const DepthwiseConv2dShape& shape) { return shape.window.kh * shape.window.kw; }
int64_t count_pairs(const DepthwiseConv2dShape& shape) { return (count_taps(shape) + 1) / 2; }

// A block has 8 channels for each lane of a vector.
int64_t packed_elements(const DepthwiseConv2dShape& shape, int64_t lanes) {
  return (shape.o + 8 * lanes - 1) / (8 * lanes) * count_pairs(shape) * 16 * lanes;
}

void pack_weights(const DepthwiseConv2dShape& shape, const void* w, const int32_t* w_zero_point, int64_t lanes,
                  int16_t* packed) {
  std::memset(packed, 0, static_cast<size_t>(packed_elements(shape, lanes)) * sizeof(int16_t));
  const int64_t taps = count_taps(shape);
  for (int64_t o = 0; o < shape.o; ++o) {
    const int64_t block = o / (8 * lanes), lane = o % (8 * lanes) / 8, half = o % 8 / 4;
    for (int64_t t = 0; t < taps; ++t) {
      const int64_t at = o * taps + t;
      const int32_t value =
          shape.w_dtype == DType::s8 ? static_cast<const int8_t*>(w)[at] : static_cast<const uint8_t*>(w)[at];
      const int64_t pair = block * count_pairs(shape) + t / 2;
      packed[((pair * 2 + half) * lanes + lane) * 8 + o % 4 * 2 + t % 2] =
          static_cast<int16_t>(value - w_zero_point[o]);
    }
  }
}

// Scratch memory: a pointer per tap, a row of O bytes that stands for padding, and, when an input channel has several
// output channels, for each tap a row of O bytes in which it is repeated.
size_t taps_bytes(const DepthwiseConv2dShape& shape) {
  const int64_t rows = shape.o == shape.window.c ? 1 : 1 + count_taps(shape);
  return static_cast<size_t>(2 * count_pairs(shape)) * sizeof(const uint8_t*) + static_cast<size_t>(rows * shape.o);
}

// Scratch memory after prepare_taps.
struct Taps {
  const uint8_t** pointers;  // [2 * pairs]: O bytes each
  uint8_t* padding;
  uint8_t* repeated;
};

Taps prepare_taps(const DepthwiseConv2dArgs& args) {
  Taps taps;
  taps.pointers = static_cast<const uint8_t**>(args.scratch);
  taps.padding = reinterpret_cast<uint8_t*>(taps.pointers + 2 * count_pairs(*args.shape));
  taps.repeated = taps.padding + args.shape->o;
  std::memset(taps.padding, args.x_zero_point & 0xFF, static_cast<size_t>(args.shape->o));
  taps.pointers[2 * count_pairs(*args.shape) - 1] = taps.padding;  // the partner of a last single tap
  return taps;
}

// The C bytes at x, each O / C times; or, if that is once, x itself.
const uint8_t* repeat_channels(const DepthwiseConv2dShape& shape, const uint8_t* x, uint8_t* to) {
  if (shape.o == shape.window.c) return x;
  const int64_t times = shape.o / shape.window.c;
  for (int64_t c = 0; c < shape.window.c; ++c) std::memset(to + c * times, x[c], static_cast<size_t>(times));
  return to;
}

// Lets the pointers show what is under each tap of the window at `at`.
void find_taps(const DepthwiseConv2dArgs& args, const WindowAt& at, const Taps& taps) {
  const Window& window = args.shape->window;
  for (int64_t kh = 0; kh < window.kh; ++kh) {
    const int64_t row = at.row + kh * window.dilation_h;
    for (int64_t kw = 0; kw < window.kw; ++kw) {
      const int64_t col = at.col + kw * window.dilation_w;
      const int64_t tap = kh * window.kw + kw;
      if (is_inside(row, window.h) && is_inside(col, window.w)) {
        const int64_t pixel = (at.n * window.h + row) * window.w + col;
        const uint8_t* x = static_cast<const uint8_t*>(args.x) + pixel * window.c;
        taps.pointers[tap] = repeat_channels(*args.shape, x, taps.repeated + tap * args.shape->o);
      } else {
        taps.pointers[tap] = taps.padding;
      }
    }
  }
}

}  // namespace
}  // namespace q8
