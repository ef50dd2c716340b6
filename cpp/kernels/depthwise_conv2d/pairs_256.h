// SPDX-License-Identifier: Apache-2.0
// The vectors of pairs.h with 256 bits, but for the multiplication. Internal linkage.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace q8 {
namespace {

using Vector = __m256i;
using Mask = __m256i;
constexpr int64_t block_channels = 8;

Vector load_pairs(const int16_t* from) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)); }
void store_sums(int32_t* to, Vector sums) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), sums); }

Mask first_lanes(int64_t count) {
  const __m256i numbers = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int32_t>(count)), numbers);
}

Vector load_lanes(const int32_t* from, Mask lanes) { return _mm256_maskload_epi32(from, lanes); }
void store_lanes(int32_t* to, Mask lanes, Vector sums) { _mm256_maskstore_epi32(to, lanes, sums); }

}  // namespace
}  // namespace q8
