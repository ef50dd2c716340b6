// SPDX-License-Identifier: Apache-2.0
// The binary32 exponential of a Softmax, operation by operation as ONNX Runtime's kernel for AVX2 and FMA computes it.
//
//   m = half_even(x / ln 2);  r = x - m ln 2 in two steps;  exp(x) = 2^m p(r) with a polynomial of degree 6
//
// Source   ONNX Runtime, core/mlas/lib/x86_64/TransKernelFma3.S, core/mlas/lib/compute.cpp.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace q8 {

struct Exponential {
  static constexpr float lowest = -88.3762626647949f;  // below it, 2^m would not be a binary32 number
  static constexpr float magic = 12582912.0f;          // 1.5 * 2^23: adding it drops the fraction
  static constexpr float per_ln2 = 1.44269504088896341f;
  static constexpr float minus_ln2_high = -6.93145752e-1f;
  static constexpr float minus_ln2_low = -1.42860677e-6f;
  static constexpr float polynomial[7] = {
      0x1.694000p-10f, 0x1.125edcp-7f, 0x1.555b5ap-5f, 0x1.555450p-3f, 0x1.fffff6p-2f, 1.0f, 1.0f};
  static constexpr uint32_t one = 0x3F800000;  // the bits of 1
};

// exp(x) for x up to 0.
static inline float exponential(float x) {
  using E = Exponential;
  const float inside = x > E::lowest ? x : E::lowest;
  const float shifted = std::fma(inside, E::per_ln2, E::magic);
  const float m = shifted - E::magic;
  const float r = std::fma(m, E::minus_ln2_low, std::fma(m, E::minus_ln2_high, inside));
  float p = E::polynomial[0];
  for (int i = 1; i < 7; ++i) p = std::fma(p, r, E::polynomial[i]);
  return p * std::bit_cast<float>((std::bit_cast<uint32_t>(shifted) << 23) + E::one);
}

}  // namespace q8
