// SPDX-License-Identifier: Apache-2.0
// The family depthwise_conv2d: the int32 accumulators of some output pixels and some output channels.
//
//   acc[n, oh, ow, o] = bias[o] + sum over kh, kw of (x[n, row, col, o / M] - x_zero_point)
//                                                  * (w[o, kh, kw, 0] - w_zero_point[o])
//   row = oh * stride_h - pad_top + kh * dilation_h, col alike; a tap outside the image contributes 0; M = O / C.
//
// Layouts  x[N, H, W, C], w[O, KH, KW, 1], one byte each; acc[pixel][channel] with acc_stride between pixels.
// Ranges   zero points within the dtype of what they belong to; any bias.
// Overflow as in conv2d: exact up to 33025 taps, beyond that the sum wraps modulo 2^32; saturated_bits alike.
// Aliasing none. The kernel may use all of scratch.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/dtype.h"
#include "kernels/kernel.h"
#include "kernels/window.h"

namespace q8 {

struct DepthwiseConv2dShape {
  Window window;
  int64_t o;  // output channels, a multiple of C
  DType x_dtype;
  DType w_dtype;
};

struct DepthwiseConv2dArgs {
  const DepthwiseConv2dShape* shape;
  const void* x;
  int32_t x_zero_point;
  const void* w;
  const int32_t* w_zero_point;  // [O]
  const int32_t* bias;          // [O]
  const void* packed;           // what the pack function of this kernel made of w and w_zero_point
  int64_t pixel_begin;          // of [N, OH, OW], counted row by row
  int64_t pixel_count;
  int64_t channel_begin;  // a multiple of 32
  int64_t channel_count;
  int32_t* acc;            // [pixel_count][channel_count]
  int64_t acc_stride;      // from pixel to pixel
  int32_t saturated_bits;  // 0: wraps
  void* scratch;           // 64-byte aligned
};

struct DepthwiseConv2dKernel {
  Isa isa;
  const char* symbol;
  // Bytes of the packed weights, 64-byte aligned memory.
  size_t (*packed_bytes)(const DepthwiseConv2dShape& shape);
  // Once, at load.
  void (*pack)(const DepthwiseConv2dShape& shape, const void* w, const int32_t* w_zero_point, void* packed);
  size_t (*scratch_bytes)(const DepthwiseConv2dShape& shape);
  void (*run)(const DepthwiseConv2dArgs& args);
};

#define Q8_KERNEL(symbol, isa)                                                                                     \
  size_t symbol##_packed_bytes(const DepthwiseConv2dShape& shape);                                                 \
  void symbol##_pack(const DepthwiseConv2dShape& shape, const void* w, const int32_t* w_zero_point, void* packed); \
  size_t symbol##_scratch_bytes(const DepthwiseConv2dShape& shape);                                                \
  void symbol(const DepthwiseConv2dArgs& args);
#include "kernels/depthwise_conv2d/kernels.inc"
#undef Q8_KERNEL

const DepthwiseConv2dKernel& depthwise_conv2d_kernel(Isa isa);

}  // namespace q8
