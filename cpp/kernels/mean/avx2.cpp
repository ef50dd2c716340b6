// SPDX-License-Identifier: Apache-2.0
// mean with AVX2: the values as they are, 8 columns at a time, or a column alone where it is one piece of memory; the
// zero points, which all columns share, at the end.
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

// The sum of a column whose elements are neighbours. vpsadbw adds bytes without their sign, which is that of
// x + 128 for int8; whole vectors, then the rest.
int32_t sum_column(const MeanArgs& args) {
  const uint8_t* x = static_cast<const uint8_t*>(args.x);
  const uint8_t flip = args.x_dtype == DType::s8 ? 0x80 : 0;
  const __m256i flips = _mm256_set1_epi8(static_cast<char>(flip)), zero = _mm256_setzero_si256();
  __m256i sums = zero;
  int64_t r = 0;
  for (; r + 32 <= args.rows; r += 32) {
    const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + r));
    sums = _mm256_add_epi64(sums, _mm256_sad_epu8(_mm256_xor_si256(bytes, flips), zero));
  }
  alignas(32) uint64_t parts[4];
  _mm256_store_si256(reinterpret_cast<__m256i*>(parts), sums);
  uint64_t sum = parts[0] + parts[1] + parts[2] + parts[3];
  for (; r < args.rows; ++r) sum += static_cast<uint8_t>(x[r] ^ flip);
  const uint64_t too_much = static_cast<uint64_t>(args.rows) * static_cast<uint64_t>(int64_t{flip} + args.x_zero_point);
  return static_cast<int32_t>(static_cast<uint32_t>(sum - too_much));
}

}  // namespace

void mean_avx2(const MeanArgs& args) {
  if (args.count == 1 && args.x_stride == 1) {
    args.acc[0] = sum_column(args);
    return;
  }
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
