// SPDX-License-Identifier: Apache-2.0
// average_pool with AVX2: 8 channels at a time, each of which sums its taps in the order of the definition.
#include "kernels/pool/avx2.h"

#include "kernels/average_pool/average_pool.h"
#include "kernels/average_pool/taps.h"

namespace q8 {
namespace {

// Adds one tap, where it is inside the image.
void add_tap(const Pixel& pixel, const Channels& channels, int64_t kh, int64_t kw, __m256 scale, __m256* sum) {
  const uint8_t* tap = tap_at(pixel, kh, kw);
  if (tap == nullptr) return;
  *sum = _mm256_add_ps(*sum, _mm256_mul_ps(_mm256_cvtepi32_ps(channels(tap)), scale));
}

__m256 sum_rows(const Pixel& pixel, const Channels& channels, __m256 scale) {
  __m256 sum = _mm256_setzero_ps();
  for (int64_t kh = 0; kh < pixel.window->kh; ++kh) {
    for (int64_t kw = 0; kw < pixel.window->kw; ++kw) add_tap(pixel, channels, kh, kw, scale, &sum);
  }
  return sum;
}

__m256 sum_columns(const Pixel& pixel, const Channels& channels, __m256 scale) {
  __m256 sum = _mm256_setzero_ps();
  for (int64_t kw = 0; kw < pixel.window->kw; ++kw) {
    __m256 column = _mm256_setzero_ps();
    for (int64_t kh = 0; kh < pixel.window->kh; ++kh) add_tap(pixel, channels, kh, kw, scale, &column);
    sum = _mm256_add_ps(sum, column);
  }
  return sum;
}

void run_pixel(const AveragePoolArgs& args, int64_t number) {
  const Pixel pixel = pixel_of(args, number);
  const __m256 count = _mm256_set1_ps(static_cast<float>(taps_counted(args, pixel.at)));
  const __m256 x_scale = _mm256_set1_ps(args.x_scale), y_scale = _mm256_set1_ps(args.y_scale);
  const __m256 zero_point = _mm256_set1_ps(static_cast<float>(args.range.zero_point));
  const auto sum_of_taps = args.form == AveragePoolForm::columns ? sum_columns : sum_rows;
  for_each_8_channels(args, number, args.x_zero_point, [&](const Channels& channels) {
    const __m256 average = _mm256_div_ps(sum_of_taps(pixel, channels, x_scale), count);
    const __m256 v = _mm256_div_ps(average, y_scale);
    if (args.form != AveragePoolForm::integer) return quantized(v, outside_of(args.range));
    return quantized_converted(_mm256_add_ps(v, zero_point), inside_of(args.range));
  });
}

}  // namespace

void average_pool_avx2(const AveragePoolArgs& args) {
  for (int64_t i = 0; i < args.pixel_count; ++i) run_pixel(args, args.pixel_begin + i);
}

}  // namespace q8
