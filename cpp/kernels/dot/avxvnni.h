// SPDX-License-Identifier: Apache-2.0
// The vectors of dot/vnni.h with AVX-VNNI: a block of columns is two vectors. Internal linkage.
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/intrinsics.h"

namespace q8 {
namespace {

using Vector = __m256i;
constexpr int lanes = 8;
constexpr int block_vectors = 2;
constexpr int most_blocks = 1;

// Twelve of 16 registers are sums.
constexpr int most_rows(int) { return 6; }

Vector load_sums(const int32_t* from) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)); }
void store_sums(int32_t* to, Vector sums) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), sums); }
Vector load_quads(const uint8_t* w) { return _mm256_load_si256(reinterpret_cast<const __m256i*>(w)); }

Vector repeat_quad(const uint8_t* x) {
  int32_t quad;
  std::memcpy(&quad, x, 4);
  return _mm256_set1_epi32(quad);
}

Vector add_products(Vector sums, Vector x, Vector w) { return _mm256_dpbusd_avx_epi32(sums, x, w); }

}  // namespace
}  // namespace q8
