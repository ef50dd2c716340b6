// SPDX-License-Identifier: Apache-2.0
// depthwise_conv2d with the dot products of ARMv8.2: 16 channels at a time, four taps at a time.
//
// sdot adds the products of four signed bytes, so the bytes under four taps are put together channel by channel, and
// the zero points come in at the end, modulo 2^32 (see dot/dotprod.h for x', w' and the correction):
//
//   acc = bias + sum x'w' - wz' * sum x' - xz' * correction
//
// Taps that are missing in a last group of four read what padding holds, with weights of 0.
//
// Packed weights   [block of channels]: correction[16], zero_point[16] int32, then [group of taps][16 channels][4] int8
// Scratch memory   a pointer per tap of each pixel of a batch; a row of O bytes that stands for padding; where an input
//                  channel has several output channels, for each tap a row of O bytes in which it is repeated
#include <arm_neon.h>

#include <cstring>

#include "kernels/depthwise_conv2d/depthwise_conv2d.h"
#include "kernels/dot/signed_bytes.h"

namespace q8 {
namespace {

constexpr int64_t block_channels = 16;
constexpr int64_t header_bytes = 2 * block_channels * 4;
constexpr int64_t group_bytes = 4 * block_channels;

int64_t count_taps(const Window& window) { return window.kh * window.kw; }
int64_t count_groups(const Window& window) { return (count_taps(window) + 3) / 4; }
int64_t block_bytes(const Window& window) { return header_bytes + count_groups(window) * group_bytes; }

// Pixels whose taps are found before their channels are summed, block after block.
int64_t batch_of(const DepthwiseConv2dShape& shape) { return shape.o == shape.window.c ? 16 : 1; }

struct Taps {
  const uint8_t** pointers;  // [pixel][group of taps][4]: O bytes each
  uint8_t* padding;
  uint8_t* repeated;
};

Taps prepare_taps(const DepthwiseConv2dArgs& args) {
  const int64_t count = batch_of(*args.shape) * 4 * count_groups(args.shape->window), o = args.shape->o;
  Taps taps{.pointers = static_cast<const uint8_t**>(args.scratch), .padding = nullptr, .repeated = nullptr};
  taps.padding = reinterpret_cast<uint8_t*>(taps.pointers + count);
  taps.repeated = taps.padding + o;
  std::memset(taps.padding, args.x_zero_point & 0xFF, static_cast<size_t>(o));
  for (int64_t t = 0; t < count; ++t) taps.pointers[t] = taps.padding;
  return taps;
}

// The C bytes at x, each O / C times; or, if that is once, x itself.
const uint8_t* repeat_channels(const DepthwiseConv2dShape& shape, const uint8_t* x, uint8_t* to) {
  if (shape.o == shape.window.c) return x;
  const int64_t times = shape.o / shape.window.c;
  for (int64_t c = 0; c < shape.window.c; ++c) std::memset(to + c * times, x[c], static_cast<size_t>(times));
  return to;
}

// Lets pointers show what is under each tap of the window at `at`.
void find_taps(const DepthwiseConv2dArgs& args, const WindowAt& at, const Taps& taps, const uint8_t** pointers) {
  const Window& window = args.shape->window;
  int64_t tap = 0;
  for (int64_t kh = 0; kh < window.kh; ++kh) {
    const int64_t row = at.row + kh * window.dilation_h;
    for (int64_t kw = 0; kw < window.kw; ++kw, ++tap) {
      const int64_t col = at.col + kw * window.dilation_w;
      pointers[tap] = taps.padding;
      if (!is_inside(row, window.h) || !is_inside(col, window.w)) continue;
      const uint8_t* x = static_cast<const uint8_t*>(args.x) + ((at.n * window.h + row) * window.w + col) * window.c;
      pointers[tap] = repeat_channels(*args.shape, x, taps.repeated + tap * args.shape->o);
    }
  }
}

// The bytes of 16 channels as signed ones; of those that do not exist, any.
uint8x16_t load_flipped(const uint8_t* from, int64_t channels, uint8x16_t flip) {
  if (channels >= block_channels) return veorq_u8(vld1q_u8(from), flip);
  uint8_t bytes[block_channels] = {};
  std::memcpy(bytes, from, static_cast<size_t>(channels));
  return veorq_u8(vld1q_u8(bytes), flip);
}

struct Sums {
  int32x4_t of[4];  // four channels each
};

// Four taps of four channels each.
struct Quads {
  int8x16_t of[4];
};

Quads weave(const uint8_t* const* taps, int64_t channel, int64_t channels, uint8x16_t flip) {
  const uint8x16_t x0 = load_flipped(taps[0] + channel, channels, flip);
  const uint8x16_t x1 = load_flipped(taps[1] + channel, channels, flip);
  const uint8x16_t x2 = load_flipped(taps[2] + channel, channels, flip);
  const uint8x16_t x3 = load_flipped(taps[3] + channel, channels, flip);
  const uint16x8_t low_01 = vreinterpretq_u16_u8(vzip1q_u8(x0, x1)), low_23 = vreinterpretq_u16_u8(vzip1q_u8(x2, x3));
  const uint16x8_t high_01 = vreinterpretq_u16_u8(vzip2q_u8(x0, x1)), high_23 = vreinterpretq_u16_u8(vzip2q_u8(x2, x3));
  return {{vreinterpretq_s8_u16(vzip1q_u16(low_01, low_23)), vreinterpretq_s8_u16(vzip2q_u16(low_01, low_23)),
           vreinterpretq_s8_u16(vzip1q_u16(high_01, high_23)), vreinterpretq_s8_u16(vzip2q_u16(high_01, high_23))}};
}

// A block of channels: what does not depend on the pixel.
struct Block {
  int64_t channel, channels;  // as many of the 16 exist
  const uint8_t* w;
  int32_t start[block_channels];       // bias - xz' * correction
  int32_t zero_point[block_channels];  // wz'
  bool has_zero_point;
};

Block make_block(const DepthwiseConv2dArgs& args, int64_t channel, int64_t channels) {
  Block block{
      .channel = channel, .channels = channels, .w = nullptr, .start = {}, .zero_point = {}, .has_zero_point = false};
  const uint8_t* packed =
      static_cast<const uint8_t*>(args.packed) + channel / block_channels * block_bytes(args.shape->window);
  const uint32_t x_zero_point = static_cast<uint32_t>(args.x_zero_point + shift_of(args.shape->x_dtype));
  uint32_t correction[block_channels];
  std::memcpy(correction, packed, sizeof(correction));
  std::memcpy(block.zero_point, packed + sizeof(correction), sizeof(block.zero_point));
  for (int64_t c = 0; c < channels; ++c) {
    const uint32_t bias = static_cast<uint32_t>(args.bias[channel + c]);
    block.start[c] = static_cast<int32_t>(bias - x_zero_point * correction[c]);
    block.has_zero_point = block.has_zero_point || block.zero_point[c] != 0;
  }
  block.w = packed + header_bytes;
  return block;
}

// sum x'w', and sum x' where it is asked for, of one pixel.
template <bool with_x>
void sum_taps(const Block& block, const uint8_t* const* taps, int64_t count, uint8x16_t flip, Sums* products, Sums* x) {
  const uint8_t* w = block.w;
  for (int64_t t = 0; t < count; t += 4, w += group_bytes) {
    const Quads quads = weave(taps + t, block.channel, block.channels, flip);
    // Ones for the taps that exist.
    const int64_t left = count - t;
    const uint32_t pattern = left >= 4 ? 0x01010101u : 0x01010101u >> (8 * (4 - left));
    const int8x16_t ones = vreinterpretq_s8_u32(vdupq_n_u32(pattern));
    for (int i = 0; i < 4; ++i) {
      products->of[i] = vdotq_s32(products->of[i], quads.of[i], vreinterpretq_s8_u8(vld1q_u8(w + 16 * i)));
      if constexpr (with_x) x->of[i] = vdotq_s32(x->of[i], quads.of[i], ones);
    }
  }
}

void run_block(const Block& block, const uint8_t* const* taps, int64_t count, uint8x16_t flip, int32_t* acc) {
  Sums sums, x{{vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0)}};
  for (int i = 0; i < 4; ++i) sums.of[i] = vld1q_s32(block.start + 4 * i);
  if (block.has_zero_point) {
    sum_taps<true>(block, taps, count, flip, &sums, &x);
    for (int i = 0; i < 4; ++i) sums.of[i] = vmlsq_s32(sums.of[i], x.of[i], vld1q_s32(block.zero_point + 4 * i));
  } else {
    sum_taps<false>(block, taps, count, flip, &sums, &x);
  }
  if (block.channels >= block_channels) {
    for (int i = 0; i < 4; ++i) vst1q_s32(acc + 4 * i, sums.of[i]);
  } else {
    int32_t all[block_channels];
    for (int i = 0; i < 4; ++i) vst1q_s32(all + 4 * i, sums.of[i]);
    std::memcpy(acc, all, static_cast<size_t>(block.channels) * sizeof(int32_t));
  }
}

}  // namespace

size_t depthwise_conv2d_dotprod_packed_bytes(const DepthwiseConv2dShape& shape) {
  return static_cast<size_t>((shape.o + block_channels - 1) / block_channels * block_bytes(shape.window));
}

void depthwise_conv2d_dotprod_pack(const DepthwiseConv2dShape& shape, const void* w, const int32_t* w_zero_point,
                                   void* packed) {
  std::memset(packed, 0, depthwise_conv2d_dotprod_packed_bytes(shape));
  const int64_t taps = count_taps(shape.window);
  const uint8_t flip = flip_of(shape.w_dtype);
  for (int64_t o = 0; o < shape.o; ++o) {
    uint8_t* block = static_cast<uint8_t*>(packed) + o / block_channels * block_bytes(shape.window);
    int8_t* quads = reinterpret_cast<int8_t*>(block + header_bytes);
    const int64_t c = o % block_channels;
    int32_t sum = 0;
    for (int64_t t = 0; t < taps; ++t) {
      const int8_t value = static_cast<int8_t>(static_cast<const uint8_t*>(w)[o * taps + t] ^ flip);
      quads[t / 4 * group_bytes + 4 * c + t % 4] = value;
      sum += value;
    }
    const int32_t zero_point = w_zero_point[o] + shift_of(shape.w_dtype);
    const uint32_t correction =
        static_cast<uint32_t>(sum) - static_cast<uint32_t>(taps) * static_cast<uint32_t>(zero_point);
    std::memcpy(block + c * 4, &correction, 4);
    std::memcpy(block + (block_channels + c) * 4, &zero_point, 4);
  }
}

size_t depthwise_conv2d_dotprod_scratch_bytes(const DepthwiseConv2dShape& shape) {
  const int64_t rows = shape.o == shape.window.c ? 1 : 1 + count_taps(shape.window);
  return static_cast<size_t>(batch_of(shape) * 4 * count_groups(shape.window)) * sizeof(const uint8_t*) +
         static_cast<size_t>(rows * shape.o);
}

void depthwise_conv2d_dotprod(const DepthwiseConv2dArgs& args) {
  const Taps taps = prepare_taps(args);
  const int64_t count = count_taps(args.shape->window);
  const uint8x16_t flip = vdupq_n_u8(flip_of(args.shape->x_dtype));
  const int64_t stride = 4 * count_groups(args.shape->window), batch = batch_of(*args.shape);
  for (int64_t done = 0; done < args.pixel_count; done += batch) {
    const int64_t pixels = args.pixel_count - done < batch ? args.pixel_count - done : batch;
    for (int64_t p = 0; p < pixels; ++p) {
      const WindowAt at = window_at(args.shape->window, args.pixel_begin + done + p);
      find_taps(args, at, taps, taps.pointers + p * stride);
    }
    for (int64_t c = 0; c < args.channel_count; c += block_channels) {
      const int64_t left = args.channel_count - c;
      const Block block = make_block(args, args.channel_begin + c, left < block_channels ? left : block_channels);
      int32_t* acc = args.acc + done * args.acc_stride + c;
      for (int64_t p = 0; p < pixels; ++p, acc += args.acc_stride) {
        run_block(block, taps.pointers + p * stride, count, flip, acc);
      }
    }
  }
}

}  // namespace q8
