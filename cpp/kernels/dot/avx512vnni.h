// SPDX-License-Identifier: Apache-2.0
// The vectors of dot/vnni.h with AVX-512 VNNI: a block of columns is one vector. Internal linkage.
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/intrinsics.h"

namespace q8 {
namespace {

using Vector = __m512i;
constexpr int lanes = 16;
constexpr int block_vectors = 1;
constexpr int most_blocks = 4;

// Of 32 registers 24 or 20 are sums; with ten rows and one block, the sums do not wait for each other.
constexpr int most_rows(int blocks) { return blocks == 4 ? 6 : 10; }

Vector load_sums(const int32_t* from) { return _mm512_loadu_si512(from); }
void store_sums(int32_t* to, Vector sums) { _mm512_storeu_si512(to, sums); }
Vector load_quads(const uint8_t* w) { return _mm512_load_si512(w); }

Vector repeat_quad(const uint8_t* x) {
  int32_t quad;
  std::memcpy(&quad, x, 4);
  return _mm512_set1_epi32(quad);
}

Vector add_products(Vector sums, Vector x, Vector w) { return _mm512_dpbusd_epi32(sums, x, w); }

}  // namespace
}  // namespace q8
