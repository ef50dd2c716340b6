// SPDX-License-Identifier: Apache-2.0
// dequantize with AVX2, 8 elements at a time.
#include <immintrin.h>

#include <cstring>

#include "kernels/dequantize/dequantize.h"

namespace q8 {
namespace {

__m256i load(const void* x, int64_t at, DType dtype) {
  if (dtype == DType::s32) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(static_cast<const int32_t*>(x) + at));
  }
  const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(static_cast<const uint8_t*>(x) + at));
  return dtype == DType::s8 ? _mm256_cvtepi8_epi32(bytes) : _mm256_cvtepu8_epi32(bytes);
}

__m256 dequantize_8(__m256i x, __m256 scale, __m256i zero_point, bool is_affine) {
  if (!is_affine) return _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_sub_epi32(x, zero_point)), scale);
  const __m256 negated = _mm256_cvtepi32_ps(_mm256_sub_epi32(_mm256_setzero_si256(), zero_point));
  return _mm256_add_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(x), scale), _mm256_mul_ps(negated, scale));
}

// Fewer than 8, by way of memory that is long enough.
void dequantize_rest(const DequantizeArgs& args, int64_t at, int64_t count) {
  const int64_t bytes = args.x_dtype == DType::s32 ? 4 : 1;
  uint8_t x[32] = {};
  float scale[8] = {}, y[8];
  int32_t zero_point[8] = {};
  std::memcpy(x, static_cast<const uint8_t*>(args.x) + at * bytes, static_cast<size_t>(count * bytes));
  for (int64_t i = 0; i < count; ++i) {
    scale[i] = args.scale[(at + i) * args.parameter_step];
    if (args.zero_point != nullptr) zero_point[i] = args.zero_point[(at + i) * args.parameter_step];
  }
  const __m256i zero_points = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(zero_point));
  _mm256_storeu_ps(y, dequantize_8(load(x, 0, args.x_dtype), _mm256_loadu_ps(scale), zero_points, args.is_affine));
  std::memcpy(args.y + at, y, static_cast<size_t>(count) * sizeof(float));
}

}  // namespace

void dequantize_avx2(const DequantizeArgs& args) {
  const bool per_element = args.parameter_step != 0;
  __m256 scale = _mm256_set1_ps(args.scale[0]);
  __m256i zero_point = _mm256_set1_epi32(args.zero_point == nullptr ? 0 : args.zero_point[0]);
  int64_t i = 0;
  for (; i + 8 <= args.count; i += 8) {
    if (per_element) {
      scale = _mm256_loadu_ps(args.scale + i);
      if (args.zero_point != nullptr) {
        zero_point = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(args.zero_point + i));
      }
    }
    const __m256i x = load(args.x, i, args.x_dtype);
    _mm256_storeu_ps(args.y + i, dequantize_8(x, scale, zero_point, args.is_affine));
  }
  if (i < args.count) dequantize_rest(args, i, args.count - i);
}

}  // namespace q8
