// SPDX-License-Identifier: Apache-2.0
// add with AVX2 and FMA. To saturate, then round, then clamp is to clamp to [qmin, qmax] and round, or to round, then
// saturate and clamp: the bounds are integers inside the range of the dtype, and half_even is monotonic.
#include <immintrin.h>

#include <cstring>

#include "kernels/add/add.h"

namespace q8 {
namespace {

struct Constants {
  __m256 a_ratio, b_ratio, fixed, low, high;
  DType dtype;
};

// The first 8 bytes as floats
__m256 to_floats(__m128i bytes, DType dtype) {
  return _mm256_cvtepi32_ps(dtype == DType::s8 ? _mm256_cvtepi8_epi32(bytes) : _mm256_cvtepu8_epi32(bytes));
}

// 8 elements, or one of them 8 times
__m128i load(const uint8_t* from, int64_t at, int64_t step) {
  return step == 0 ? _mm_set1_epi8(static_cast<char>(from[0]))
                   : _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from + at));
}

// Fewer than 8 elements, by way of memory that is long enough.
__m128i load_rest(const uint8_t* from, int64_t at, int64_t step, int64_t count) {
  if (step == 0) return load(from, at, step);
  uint8_t rest[8] = {};
  std::memcpy(rest, from + at, static_cast<size_t>(count));
  return load(rest, 0, 1);
}

// The low bytes of 8 values within the range of a byte, in order.
__m128i narrow(__m256i q) {
  const __m256i low_bytes = _mm256_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,  //
                                             0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
  const __m256i halves = _mm256_shuffle_epi8(q, low_bytes);
  return _mm_unpacklo_epi32(_mm256_castsi256_si128(halves), _mm256_extracti128_si256(halves, 1));
}

__m128i add_8(__m128i a, __m128i b, const Constants& constants) {
  const __m256 inner = _mm256_fmadd_ps(to_floats(b, constants.dtype), constants.b_ratio, constants.fixed);
  const __m256 sum = _mm256_fmadd_ps(to_floats(a, constants.dtype), constants.a_ratio, inner);
  const __m256 beyond = _mm256_cmp_ps(sum, _mm256_set1_ps(2147483648.0f), _CMP_NLT_UQ);
  const __m256 v = _mm256_blendv_ps(sum, constants.low, beyond);
  return narrow(_mm256_cvtps_epi32(_mm256_min_ps(_mm256_max_ps(v, constants.low), constants.high)));
}

// Are all sums well inside int32, so that their conversion needs no care?
bool is_bounded(const AddArgs& args) {
  const float greatest = 255.0f * args.a_ratio + 255.0f * args.b_ratio;
  return greatest < 1e9f && args.fixed < 1e9f && args.fixed > -1e9f;
}

// 8 sums, rounded
template <DType dtype>
__m256i round_8(const uint8_t* a, const uint8_t* b, int64_t at, const AddArgs& args, const Constants& constants) {
  const __m256 right = to_floats(load(b, at, args.b_step), dtype);
  const __m256 left = to_floats(load(a, at, args.a_step), dtype);
  const __m256 inner = _mm256_fmadd_ps(right, constants.b_ratio, constants.fixed);
  return _mm256_cvtps_epi32(_mm256_fmadd_ps(left, constants.a_ratio, inner));
}

// 32 elements at a time where every sum is bounded; returns how many.
template <DType dtype>
int64_t add_bounded(const AddArgs& args, const Constants& constants) {
  constexpr bool is_signed = dtype == DType::s8;
  const uint8_t* a = static_cast<const uint8_t*>(args.a);
  const uint8_t* b = static_cast<const uint8_t*>(args.b);
  const __m256i low = _mm256_set1_epi8(static_cast<char>(args.range.qmin));
  const __m256i high = _mm256_set1_epi8(static_cast<char>(args.range.qmax));
  const __m256i in_order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);  // packing works on halves
  int64_t i = 0;
  for (; i + 32 <= args.count; i += 32) {
    const __m256i q0 = round_8<dtype>(a, b, i, args, constants), q1 = round_8<dtype>(a, b, i + 8, args, constants);
    const __m256i q2 = round_8<dtype>(a, b, i + 16, args, constants),
                  q3 = round_8<dtype>(a, b, i + 24, args, constants);
    const __m256i first = _mm256_packs_epi32(q0, q1), second = _mm256_packs_epi32(q2, q3);
    __m256i bytes = is_signed ? _mm256_packs_epi16(first, second) : _mm256_packus_epi16(first, second);
    bytes = is_signed ? _mm256_max_epi8(bytes, low) : _mm256_max_epu8(bytes, low);
    bytes = is_signed ? _mm256_min_epi8(bytes, high) : _mm256_min_epu8(bytes, high);
    bytes = _mm256_permutevar8x32_epi32(bytes, in_order);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(static_cast<uint8_t*>(args.y) + i), bytes);
  }
  return i;
}

}  // namespace

void add_avx2(const AddArgs& args) {
  const Constants constants{.a_ratio = _mm256_set1_ps(args.a_ratio),
                            .b_ratio = _mm256_set1_ps(args.b_ratio),
                            .fixed = _mm256_set1_ps(args.fixed),
                            .low = _mm256_set1_ps(static_cast<float>(args.range.qmin)),
                            .high = _mm256_set1_ps(static_cast<float>(args.range.qmax)),
                            .dtype = args.range.dtype};
  const uint8_t* a = static_cast<const uint8_t*>(args.a);
  const uint8_t* b = static_cast<const uint8_t*>(args.b);
  uint8_t* y = static_cast<uint8_t*>(args.y);
  int64_t i = 0;
  if (is_bounded(args)) {
    i = args.range.dtype == DType::s8 ? add_bounded<DType::s8>(args, constants)
                                      : add_bounded<DType::u8>(args, constants);
  }
  for (; i + 8 <= args.count; i += 8) {
    const __m128i sum = add_8(load(a, i, args.a_step), load(b, i, args.b_step), constants);
    _mm_storel_epi64(reinterpret_cast<__m128i*>(y + i), sum);
  }
  if (const int64_t left = args.count - i; left > 0) {
    uint8_t bytes[8];
    const __m128i sum = add_8(load_rest(a, i, args.a_step, left), load_rest(b, i, args.b_step, left), constants);
    _mm_storel_epi64(reinterpret_cast<__m128i*>(bytes), sum);
    std::memcpy(y + i, bytes, static_cast<size_t>(left));
  }
}

}  // namespace q8
