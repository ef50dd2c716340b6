// SPDX-License-Identifier: Apache-2.0
// max_pool with AVX2: the greatest of all taps for 32 channels at a time.
#include <immintrin.h>

#include <cstring>

#include "kernels/max_pool/max_pool.h"

namespace q8 {
namespace {

constexpr int64_t lanes = 32;

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
__m256i greater(__m256i a, __m256i b) {
  return dtype == DType::s8 ? _mm256_max_epi8(a, b) : _mm256_max_epu8(a, b);
}

template <DType dtype>
void run_pixel(const MaxPoolArgs& args, int64_t pixel) {
  const Window& window = *args.window;
  const WindowAt at = window_at(window, pixel);
  const __m256i least = dtype == DType::s8 ? _mm256_set1_epi8(-128) : _mm256_setzero_si256();
  uint8_t* y = static_cast<uint8_t*>(args.y) + pixel * window.c;
  int64_t c = 0;
  for (; c + lanes <= window.c; c += lanes) {
    __m256i greatest = least;
    for_each_tap(args, at, [&](const uint8_t* x) {
      greatest = greater<dtype>(greatest, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + c)));
    });
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(y + c), greatest);
  }
  if (const size_t left = static_cast<size_t>(window.c - c); left > 0) {
    alignas(lanes) uint8_t bytes[lanes] = {};
    __m256i greatest = least;
    for_each_tap(args, at, [&](const uint8_t* x) {
      std::memcpy(bytes, x + c, left);
      greatest = greater<dtype>(greatest, _mm256_load_si256(reinterpret_cast<const __m256i*>(bytes)));
    });
    _mm256_store_si256(reinterpret_cast<__m256i*>(bytes), greatest);
    std::memcpy(y + c, bytes, left);
  }
}

}  // namespace

void max_pool_avx2(const MaxPoolArgs& args) {
  for (int64_t i = 0; i < args.pixel_count; ++i) {
    if (args.dtype == DType::s8) {
      run_pixel<DType::s8>(args, args.pixel_begin + i);
    } else {
      run_pixel<DType::u8>(args, args.pixel_begin + i);
    }
  }
}

}  // namespace q8
