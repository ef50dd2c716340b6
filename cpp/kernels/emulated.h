// SPDX-License-Identifier: Apache-2.0
// AVX-512 and AVX-VNNI on a CPU with AVX2, for tests: SIMDe, and what its version 0.7.4 lacks, lane by lane. Slow, and
// meant to be. Internal linkage.
#pragma once

#define SIMDE_X86_AVX512F_ENABLE_NATIVE_ALIASES
#define SIMDE_X86_AVX512BW_ENABLE_NATIVE_ALIASES
#define SIMDE_X86_AVX512DQ_ENABLE_NATIVE_ALIASES
#define SIMDE_X86_AVX512VL_ENABLE_NATIVE_ALIASES
#define SIMDE_X86_AVX512VNNI_ENABLE_NATIVE_ALIASES
#include <immintrin.h>
#include <simde/x86/avx512.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace q8 {
namespace {

// The lanes of a vector, of the type Lane; as many as there are.
template <class Vector, class Lane>
struct Lanes {
  static constexpr int count = sizeof(Vector) / sizeof(Lane);
  Lane lane[static_cast<size_t>(count)] = {};

  Lanes() = default;
  explicit Lanes(const Vector& vector) { std::memcpy(lane, &vector, sizeof(vector)); }

  Vector vector() const {
    Vector out;
    std::memcpy(&out, lane, sizeof(out));
    return out;
  }
};

template <class Vector, class Lane>
Vector emulated_load(uint64_t mask, const void* from) {
  Lanes<Vector, Lane> out;
  for (int i = 0; i < out.count; ++i) {
    if ((mask >> i & 1) != 0) std::memcpy(&out.lane[i], static_cast<const Lane*>(from) + i, sizeof(Lane));
  }
  return out.vector();
}

template <class Lane, class Vector>
void emulated_store(void* to, uint64_t mask, const Vector& vector) {
  const Lanes<Vector, Lane> in(vector);
  for (int i = 0; i < in.count; ++i) {
    if ((mask >> i & 1) != 0) std::memcpy(static_cast<Lane*>(to) + i, &in.lane[i], sizeof(Lane));
  }
}

// Each lane of `vector`, as many as `To` has, converted as C++ converts integers; integers to double are exact.
template <class To, class ToLane, class FromLane, class From>
To emulated_convert(const From& vector) {
  const Lanes<From, FromLane> in(vector);
  Lanes<To, ToLane> out;
  for (int i = 0; i < out.count && i < in.count; ++i) out.lane[i] = static_cast<ToLane>(in.lane[i]);
  return out.vector();
}

// Shifts that copy the sign; all of it from the number of bits on.
template <class Lane>
__m512i emulated_shift(const __m512i& vector, const __m512i& counts) {
  Lanes<__m512i, Lane> v(vector);
  const Lanes<__m512i, std::make_unsigned_t<Lane>> n(counts);
  constexpr unsigned most = sizeof(Lane) * 8 - 1;
  for (int i = 0; i < v.count; ++i) v.lane[i] = static_cast<Lane>(v.lane[i] >> (n.lane[i] < most ? n.lane[i] : most));
  return v.vector();
}

// The same for both halves of a vector, by an instruction of AVX2.
template <class To, class Half, class From, class Function>
To emulated_halves(const From& vector, const Function& function) {
  Half in[2];
  std::memcpy(in, &vector, sizeof(vector));
  const auto low = function(in[0]), high = function(in[1]);
  To out;
  std::memcpy(&out, &low, sizeof(low));
  std::memcpy(reinterpret_cast<char*>(&out) + sizeof(low), &high, sizeof(high));
  return out;
}

int32_t emulated_sum(const __m512i& vector) {
  const Lanes<__m512i, uint32_t> in(vector);
  uint32_t sum = 0;
  for (const uint32_t lane : in.lane) sum += lane;
  return static_cast<int32_t>(sum);
}

}  // namespace
}  // namespace q8

#define _mm_maskz_loadu_epi8(mask, from) q8::emulated_load<__m128i, uint8_t>(mask, from)
#define _mm256_maskz_loadu_epi8(mask, from) q8::emulated_load<__m256i, uint8_t>(mask, from)
#define _mm256_maskz_loadu_epi32(mask, from) q8::emulated_load<__m256i, uint32_t>(mask, from)
#define _mm512_maskz_loadu_epi8(mask, from) q8::emulated_load<__m512i, uint8_t>(mask, from)
#define _mm512_maskz_loadu_epi32(mask, from) q8::emulated_load<__m512i, uint32_t>(mask, from)
#define _mm512_maskz_loadu_ps(mask, from) q8::emulated_load<__m512, uint32_t>(mask, from)
#define _mm512_maskz_loadu_pd(mask, from) q8::emulated_load<__m512d, uint64_t>(mask, from)
#define _mm_mask_storeu_epi8(to, mask, v) q8::emulated_store<uint8_t>(to, mask, v)
#define _mm512_mask_storeu_epi32(to, mask, v) q8::emulated_store<uint32_t>(to, mask, v)

#define _mm512_cvtepi8_epi32(v) q8::emulated_convert<__m512i, int32_t, int8_t>(v)
#define _mm512_cvtepu8_epi32(v) q8::emulated_convert<__m512i, int32_t, uint8_t>(v)
#define _mm512_cvtepu8_epi16(v) q8::emulated_convert<__m512i, int16_t, uint8_t>(v)
#define _mm512_cvtepi32_epi64(v) q8::emulated_convert<__m512i, int64_t, int32_t>(v)
#define _mm512_cvtepi32_epi8(v) q8::emulated_convert<__m128i, uint8_t, uint32_t>(v)
#define _mm256_cvtepi32_epi8(v) q8::emulated_convert<__m128i, uint8_t, uint32_t>(v)
#define _mm512_cvtepi64_epi8(v) q8::emulated_convert<__m128i, uint8_t, uint64_t>(v)
#define _mm512_cvtepi32_pd(v) q8::emulated_convert<__m512d, double, int32_t>(v)

#define _mm512_cvtepi32_ps(v) \
  q8::emulated_halves<__m512, __m256i>(v, [](__m256i part) { return _mm256_cvtepi32_ps(part); })
#define _mm512_cvtps_epi32(v) \
  q8::emulated_halves<__m512i, __m256>(v, [](__m256 part) { return _mm256_cvtps_epi32(part); })
#define _mm512_cvttpd_epi32(v) \
  q8::emulated_halves<__m256i, __m256d>(v, [](__m256d part) { return _mm256_cvttpd_epi32(part); })

#define _mm256_dpbusd_avx_epi32(sums, x, w) simde_mm256_dpbusd_epi32(sums, x, w)
#define _mm256_dpwssd_avx_epi32(sums, x, w) simde_mm256_dpwssd_epi32(sums, x, w)

#define _mm512_srav_epi32(v, counts) q8::emulated_shift<int32_t>(v, counts)
#define _mm512_srav_epi64(v, counts) q8::emulated_shift<int64_t>(v, counts)
#define _mm512_srai_epi32(v, count) _mm512_srav_epi32(v, _mm512_set1_epi32(count))
#define _mm512_reduce_add_epi32(v) q8::emulated_sum(v)
