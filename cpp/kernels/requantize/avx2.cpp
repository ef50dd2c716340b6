// SPDX-License-Identifier: Apache-2.0
// requantize with AVX2. To saturate, then round, then clamp is to clamp to [qmin - zp, qmax - zp] and round: the
// bounds are integers inside the range of the dtype, and half_even is monotonic.
#include <immintrin.h>

#include <cstring>

#include "kernels/requantize/requantize.h"

namespace q8 {
namespace {

struct Constants {
  __m256 low, high;
  __m256i zero_point;
};

// The low bytes of 8 values within the range of a byte, in order.
__m128i narrow(__m256i q) {
  const __m256i low_bytes = _mm256_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,  //
                                             0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
  const __m256i halves = _mm256_shuffle_epi8(q, low_bytes);
  return _mm_unpacklo_epi32(_mm256_castsi256_si128(halves), _mm256_extracti128_si256(halves, 1));
}

// 8 accumulators to 8 bytes
void requantize_8(const int32_t* acc, __m256 scale, const Constants& constants, uint8_t* y) {
  const __m256i loaded = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(acc));
  const __m256 product = _mm256_mul_ps(_mm256_cvtepi32_ps(loaded), scale);
  const __m256 v = _mm256_min_ps(_mm256_max_ps(product, constants.low), constants.high);
  const __m256i q = _mm256_add_epi32(_mm256_cvtps_epi32(v), constants.zero_point);
  _mm_storel_epi64(reinterpret_cast<__m128i*>(y), narrow(q));
}

// Fewer than 8, by way of memory that is long enough.
void requantize_rest(const int32_t* acc, const float* scale, int64_t scale_stride, int64_t count,
                     const Constants& constants, uint8_t* y) {
  int32_t rest[8] = {};
  float scales[8] = {};
  uint8_t bytes[8];
  for (int64_t i = 0; i < count; ++i) {
    rest[i] = acc[i];
    scales[i] = scale[i * scale_stride];
  }
  requantize_8(rest, _mm256_loadu_ps(scales), constants, bytes);
  std::memcpy(y, bytes, static_cast<size_t>(count));
}

}  // namespace

void requantize_avx2(const RequantizeArgs& args) {
  const Constants constants{.low = _mm256_set1_ps(static_cast<float>(args.range.qmin - args.range.zero_point)),
                            .high = _mm256_set1_ps(static_cast<float>(args.range.qmax - args.range.zero_point)),
                            .zero_point = _mm256_set1_epi32(args.range.zero_point)};
  __m256 scale = _mm256_set1_ps(args.scale[0]);
  for (int64_t r = 0; r < args.rows; ++r) {
    const int32_t* acc = args.acc + r * args.acc_stride;
    uint8_t* y = static_cast<uint8_t*>(args.y) + r * args.y_stride;
    int64_t c = 0;
    for (; c + 8 <= args.channels; c += 8) {
      if (args.scale_stride != 0) scale = _mm256_loadu_ps(args.scale + c);
      requantize_8(acc + c, scale, constants, y + c);
    }
    if (c < args.channels) {
      requantize_rest(acc + c, args.scale + c * args.scale_stride, args.scale_stride, args.channels - c, constants,
                      y + c);
    }
  }
}

}  // namespace q8
