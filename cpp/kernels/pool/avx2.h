// SPDX-License-Identifier: Apache-2.0
// Sums over windows with AVX2, 8 channels at a time: what the average pools share. Internal linkage.
#pragma once

#include "kernels/elementwise/avx2.h"
#include "kernels/window.h"
#include "numerics/requantize.h"

namespace q8 {
namespace {

// The image of a pool, and the window of one output pixel.
struct Pixel {
  const Window* window;
  const uint8_t* x;
  WindowAt at;
};

template <class Args>
Pixel pixel_of(const Args& args, int64_t pixel) {
  return {.window = args.window, .x = static_cast<const uint8_t*>(args.x), .at = window_at(*args.window, pixel)};
}

// The channels of one tap, or nullptr outside the image.
const uint8_t* tap_at(const Pixel& pixel, int64_t kh, int64_t kw) {
  const Window& window = *pixel.window;
  const int64_t row = pixel.at.row + kh * window.dilation_h, col = pixel.at.col + kw * window.dilation_w;
  if (!is_inside(row, window.h) || !is_inside(col, window.w)) return nullptr;
  return pixel.x + ((pixel.at.n * window.h + row) * window.w + col) * window.c;
}

// Values of 8 channels, or of the `count` that exist.
struct Channels {
  Operand operand;  // whose vector begins at channel 0 of a tap
  int64_t first, count;

  __m256i operator()(const uint8_t* tap) const {
    uint8_t bytes[8] = {};
    if (count < 8) std::memcpy(bytes, tap + first, static_cast<size_t>(count));
    const uint8_t* from = count < 8 ? bytes : tap + first;
    return centred(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from)), operand);
  }
};

// The sum of x - zero_point of 8 channels over the taps inside the image: exact below 2^23 taps.
[[maybe_unused]] __m256i sum_of(const Pixel& pixel, const Channels& channels) {
  __m256i sum = _mm256_setzero_si256();
  for (int64_t kh = 0; kh < pixel.window->kh; ++kh) {
    for (int64_t kw = 0; kw < pixel.window->kw; ++kw) {
      const uint8_t* tap = tap_at(pixel, kh, kw);
      if (tap != nullptr) sum = _mm256_add_epi32(sum, channels(tap));
    }
  }
  return sum;
}

[[maybe_unused]] bool sums_fit(const Window& window) { return window.kh * window.kw < int64_t{1} << 23; }

// Calls function(channels) for each 8 channels of a pixel and stores the bytes of the int32 that it returns.
template <class Args, class Function>
void for_each_8_channels(const Args& args, int64_t pixel, int32_t x_zero_point, const Function& function) {
  const int64_t all = args.window->c;
  uint8_t* y = static_cast<uint8_t*>(args.y) + pixel * all;
  for (int64_t c = 0; c < all; c += 8) {
    const int64_t count = all - c < 8 ? all - c : 8;
    const __m256i q = function(Channels{make_operand(nullptr, 1, args.range.dtype, x_zero_point), c, count});
    if (count == 8) {
      store_8(y + c, q);
      continue;
    }
    uint8_t bytes[8];
    store_8(bytes, q);
    std::memcpy(y + c, bytes, static_cast<size_t>(count));
  }
}

// A rounded quotient in binary32 becomes quantized: the zero point outside, where the bounds are without it, or inside
// of the rounding; then, behind a conversion to int32, what is 2^31 or more gives the least value.
struct Quantization {
  __m256 low, high;
  __m256i added;
};

[[maybe_unused]] Quantization outside_of(const QuantizedRange& range) {
  return {.low = _mm256_set1_ps(static_cast<float>(range.qmin - range.zero_point)),
          .high = _mm256_set1_ps(static_cast<float>(range.qmax - range.zero_point)),
          .added = _mm256_set1_epi32(range.zero_point)};
}

[[maybe_unused]] Quantization inside_of(const QuantizedRange& range) {
  return {.low = _mm256_set1_ps(static_cast<float>(range.qmin)),
          .high = _mm256_set1_ps(static_cast<float>(range.qmax)),
          .added = _mm256_setzero_si256()};
}

[[maybe_unused]] __m256i quantized(__m256 v, const Quantization& by) {
  const __m256i q = _mm256_cvtps_epi32(_mm256_min_ps(_mm256_max_ps(v, by.low), by.high));
  return _mm256_add_epi32(q, by.added);
}

[[maybe_unused]] __m256i quantized_converted(__m256 v, const Quantization& by) {
  const __m256 beyond = _mm256_cmp_ps(v, _mm256_set1_ps(2147483648.0f), _CMP_NLT_UQ);
  return quantized(_mm256_blendv_ps(v, by.low, beyond), by);
}

}  // namespace
}  // namespace q8
