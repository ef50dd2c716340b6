// SPDX-License-Identifier: Apache-2.0
// mean with AVX2: the rows as they are, 8 columns at a time; the zero points, which all columns share, at the end.
#include <immintrin.h>

#include <cstring>

#include "kernels/mean/mean.h"

namespace q8 {
namespace {

__m256i widen(__m128i bytes, DType dtype) {
  return dtype == DType::s8 ? _mm256_cvtepi8_epi32(bytes) : _mm256_cvtepu8_epi32(bytes);
}

// The sums of the columns [column, column + 8), of which the first `count` exist.
template <bool is_whole>
__m256i sum_8(const MeanArgs& args, int64_t column, int64_t count, __m256i start) {
  const uint8_t* x = static_cast<const uint8_t*>(args.x) + column;
  __m256i sum = start;
  for (int64_t r = 0; r < args.rows; ++r, x += args.x_stride) {
    uint8_t bytes[8] = {};
    if constexpr (!is_whole) std::memcpy(bytes, x, static_cast<size_t>(count));
    const __m128i row = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(is_whole ? x : bytes));
    sum = _mm256_add_epi32(sum, widen(row, args.x_dtype));
  }
  return sum;
}

}  // namespace

void mean_avx2(const MeanArgs& args) {
  const __m256i zero_point = _mm256_set1_epi32(args.x_zero_point);
  const __m256i rows = _mm256_set1_epi32(static_cast<int32_t>(args.rows));  // modulo 2^32, as the sum
  const __m256i start = _mm256_sub_epi32(_mm256_setzero_si256(), _mm256_mullo_epi32(zero_point, rows));
  int64_t b = 0;
  for (; b + 8 <= args.count; b += 8) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(args.acc + b), sum_8<true>(args, b, 8, start));
  }
  if (const int64_t left = args.count - b; left > 0) {
    int32_t sums[8];
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(sums), sum_8<false>(args, b, left, start));
    std::memcpy(args.acc + b, sums, static_cast<size_t>(left) * sizeof(int32_t));
  }
}

}  // namespace q8
