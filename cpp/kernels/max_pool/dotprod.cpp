// SPDX-License-Identifier: Apache-2.0
// max_pool on aarch64: the greatest of all taps for 16 channels at a time.
#include <arm_neon.h>

#include <cstring>

#include "kernels/max_pool/max_pool.h"

namespace q8 {
namespace {

constexpr int64_t lanes = 16;

// Calls function(pixel of x) for each tap inside the image.
template <class Function>
void for_each_tap(const MaxPoolArgs& args, const WindowAt& at, const Function& function) {
  const Window& window = *args.window;
  for (int64_t kh = 0; kh < window.kh; ++kh) {
    const int64_t row = at.row + kh * window.dilation_h;
    if (!is_inside(row, window.h)) continue;
    for (int64_t kw = 0; kw < window.kw; ++kw) {
      const int64_t col = at.col + kw * window.dilation_w;
      if (!is_inside(col, window.w)) continue;
      function(static_cast<const uint8_t*>(args.x) + ((at.n * window.h + row) * window.w + col) * window.c);
    }
  }
}

template <DType dtype>
uint8x16_t greater(uint8x16_t a, uint8x16_t b) {
  if constexpr (dtype == DType::u8) return vmaxq_u8(a, b);
  return vreinterpretq_u8_s8(vmaxq_s8(vreinterpretq_s8_u8(a), vreinterpretq_s8_u8(b)));
}

template <DType dtype>
void run_pixel(const MaxPoolArgs& args, int64_t pixel) {
  const Window& window = *args.window;
  const WindowAt at = window_at(window, pixel);
  const uint8x16_t least = vdupq_n_u8(dtype == DType::s8 ? 0x80 : 0);
  uint8_t* y = static_cast<uint8_t*>(args.y) + pixel * window.c;
  int64_t c = 0;
  for (; c + lanes <= window.c; c += lanes) {
    uint8x16_t greatest = least;
    for_each_tap(args, at, [&](const uint8_t* x) { greatest = greater<dtype>(greatest, vld1q_u8(x + c)); });
    vst1q_u8(y + c, greatest);
  }
  if (const size_t left = static_cast<size_t>(window.c - c); left > 0) {
    uint8_t bytes[lanes] = {};
    uint8x16_t greatest = least;
    for_each_tap(args, at, [&](const uint8_t* x) {
      std::memcpy(bytes, x + c, left);
      greatest = greater<dtype>(greatest, vld1q_u8(bytes));
    });
    vst1q_u8(bytes, greatest);
    std::memcpy(y + c, bytes, left);
  }
}

}  // namespace

void max_pool_dotprod(const MaxPoolArgs& args) {
  for (int64_t i = 0; i < args.pixel_count; ++i) {
    if (args.dtype == DType::s8) {
      run_pixel<DType::s8>(args, args.pixel_begin + i);
    } else {
      run_pixel<DType::u8>(args, args.pixel_begin + i);
    }
  }
}

}  // namespace q8
