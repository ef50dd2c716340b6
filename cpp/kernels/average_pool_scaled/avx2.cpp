// SPDX-License-Identifier: Apache-2.0
// average_pool_scaled with AVX2 and FMA.
#include "kernels/pool/avx2.h"

#include "kernels/average_pool_scaled/average_pool_scaled.h"

namespace q8 {
namespace {

__m256i average(__m256 sum, const AveragePoolScaledArgs& args, AverageRule rule) {
  const __m256 factor = _mm256_set1_ps(args.factor);
  const __m256 zero_point = _mm256_set1_ps(static_cast<float>(args.range.zero_point));
  switch (rule) {
    case AverageRule::outside:
      return quantized(_mm256_mul_ps(sum, factor), outside_of(args.range));
    case AverageRule::inside:
      return quantized_converted(_mm256_add_ps(_mm256_mul_ps(sum, factor), zero_point), inside_of(args.range));
    default:
      return quantized_converted(_mm256_fmadd_ps(sum, factor, zero_point), inside_of(args.range));
  }
}

void run_pixel(const AveragePoolScaledArgs& args, int64_t number) {
  const Pixel pixel = pixel_of(args, number);
  for_each_8_channels(args, number, args.x_zero_point, [&](const Channels& channels) {
    const __m256 sum = _mm256_cvtepi32_ps(sum_of(pixel, channels));
    const __m256i q = average(sum, args, args.rule);
    const int64_t before = args.inside_from - channels.first;  // channels that go by the rule
    if (before >= 8) return q;
    const __m256i numbers = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i first = _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int32_t>(before < 0 ? 0 : before)), numbers);
    return _mm256_blendv_epi8(average(sum, args, AverageRule::inside), q, first);
  });
}

}  // namespace

void average_pool_scaled_avx2(const AveragePoolScaledArgs& args) {
  if (!sums_fit(*args.window)) return average_pool_scaled_reference(args);
  for (int64_t i = 0; i < args.pixel_count; ++i) run_pixel(args, args.pixel_begin + i);
}

}  // namespace q8
