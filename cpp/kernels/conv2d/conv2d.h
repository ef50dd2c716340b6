// SPDX-License-Identifier: Apache-2.0
// The family conv2d: the int32 accumulators of some output pixels and some output channels of one group.
//
//   acc[n, oh, ow, o] = bias[o] + sum over kh, kw, c of (x[n, row, col, g * C/G + c] - x_zero_point)
//                                                     * (w[o, kh, kw, c] - w_zero_point[o])
//   row = oh * stride_h - pad_top + kh * dilation_h, col alike; a tap outside the image contributes 0;
//   g = o / (O/G) with G groups.
//
// Layouts  x[N, H, W, C], w[O, KH, KW, C/G], one byte each; acc[pixel][channel] with acc_stride between pixels.
// Ranges   zero points within the dtype of what they belong to; any bias.
// Overflow a product is at most 255 * 255 in magnitude, so the sum is exact up to 33025 taps of the worst case.
//          Beyond, it wraps modulo 2^32 as the contract says; addition modulo 2^32 does not depend on the order.
//          With saturated_bits the bias, then each sum with a product, in the order in which the equation names them,
//          saturates to so many bits: the reference kernel alone does that.
// Aliasing none. The kernel may use all of scratch.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/dtype.h"
#include "kernels/kernel.h"
#include "kernels/window.h"

namespace q8 {

struct Conv2dShape {
  Window window;
  int64_t o;      // output channels
  int64_t group;  // divides C and O
  DType x_dtype;
  DType w_dtype;
};

struct Conv2dArgs {
  const Conv2dShape* shape;
  const void* x;
  int32_t x_zero_point;
  const void* w;
  const int32_t* w_zero_point;  // [O]
  const int32_t* bias;          // [O]
  const void* packed;           // what the pack function of this kernel made of w and w_zero_point
  int64_t pixel_begin;          // of [N, OH, OW], counted row by row
  int64_t pixel_count;          // at most pixel_tile
  int64_t group;                // this group only
  int64_t channel_begin;        // within the group; a multiple of 16
  int64_t channel_count;
  int32_t* acc;            // [pixel_count][channel_count]
  int64_t acc_stride;      // from pixel to pixel
  int32_t saturated_bits;  // 0: wraps
  void* scratch;           // 64-byte aligned
};

struct Conv2dKernel {
  Isa isa;
  const char* symbol;
  // Bytes of the packed weights, 64-byte aligned memory.
  size_t (*packed_bytes)(const Conv2dShape& shape);
  // Once, at load.
  void (*pack)(const Conv2dShape& shape, const void* w, const int32_t* w_zero_point, void* packed);
  size_t (*scratch_bytes)(const Conv2dShape& shape, int64_t pixel_tile);
  void (*run)(const Conv2dArgs& args);
};

#define Q8_KERNEL(symbol, isa)                                                                            \
  size_t symbol##_packed_bytes(const Conv2dShape& shape);                                                 \
  void symbol##_pack(const Conv2dShape& shape, const void* w, const int32_t* w_zero_point, void* packed); \
  size_t symbol##_scratch_bytes(const Conv2dShape& shape, int64_t pixel_tile);                            \
  void symbol(const Conv2dArgs& args);
#include "kernels/conv2d/kernels.inc"
#undef Q8_KERNEL

const Conv2dKernel& conv2d_kernel(Isa isa);

}  // namespace q8
