// SPDX-License-Identifier: Apache-2.0
// float_softmax with AVX2 and FMA: the eight lanes of the sum are those of a vector. Vectors whose elements are not
// neighbours go to the reference kernel.
#include "kernels/elementwise/avx2.h"

#include "kernels/float_softmax/float_softmax.h"
#include "kernels/with_type.h"
#include "numerics/exponential.h"

namespace q8 {
namespace {

__m256 exponential_8(__m256 x) {
  using E = Exponential;
  const __m256 inside = _mm256_max_ps(x, _mm256_set1_ps(E::lowest)), magic = _mm256_set1_ps(E::magic);
  const __m256 shifted = _mm256_fmadd_ps(inside, _mm256_set1_ps(E::per_ln2), magic);
  const __m256 m = _mm256_sub_ps(shifted, magic);
  const __m256 partly = _mm256_fmadd_ps(m, _mm256_set1_ps(E::minus_ln2_high), inside);
  const __m256 r = _mm256_fmadd_ps(m, _mm256_set1_ps(E::minus_ln2_low), partly);
  __m256 p = _mm256_set1_ps(E::polynomial[0]);
  for (int i = 1; i < 7; ++i) p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(E::polynomial[i]));
  const __m256i exponent = _mm256_slli_epi32(_mm256_castps_si256(shifted), 23);
  const __m256i power = _mm256_add_epi32(exponent, _mm256_set1_epi32(static_cast<int32_t>(E::one)));
  return _mm256_mul_ps(p, _mm256_castsi256_ps(power));
}

template <class X>
float largest_of(const FloatSoftmaxArgs& args) {
  const X* x = static_cast<const X*>(args.x);
  X maximum = x[0];
  for (int64_t d = 1; d < args.depth; ++d) maximum = x[d] > maximum ? x[d] : maximum;
  return static_cast<float>(maximum - args.x_zero_point) * args.x_scale;
}

// The exponentials of 8 centred values.
struct Elements {
  __m256 scale, largest;

  __m256 operator()(__m256i centred) const {
    return exponential_8(_mm256_sub_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(centred), scale), largest));
  }
};

// ((l4 + l5) + (l6 + l7)) + ((l0 + l1) + (l2 + l3))
float sum_of_lanes(__m256 lanes) {
  const __m256 pairs = _mm256_hadd_ps(lanes, lanes);
  const __m256 halves = _mm256_hadd_ps(pairs, pairs);
  return _mm_cvtss_f32(_mm_add_ss(_mm256_extractf128_ps(halves, 1), _mm256_castps256_ps128(halves)));
}

float sum_of(const Operand& x, int64_t depth, const Elements& elements) {
  __m256 lanes = _mm256_setzero_ps();
  int64_t i = 0;
  for (; i + 8 <= depth; i += 8) lanes = _mm256_add_ps(lanes, elements(load_centred(x, i)));
  if (i == depth) return sum_of_lanes(lanes);
  const int32_t left = static_cast<int32_t>(depth - i);
  uint8_t bytes[8] = {};
  std::memcpy(bytes, x.from + i, static_cast<size_t>(left));
  Operand rest = x;
  rest.from = bytes;
  const __m256i exists = _mm256_cmpgt_epi32(_mm256_set1_epi32(left), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  const __m256 last = _mm256_and_ps(elements(load_centred(rest, 0)), _mm256_castsi256_ps(exists));
  return sum_of_lanes(_mm256_add_ps(lanes, last));
}

}  // namespace

// To saturate, then round, then clamp is to clamp to the bounds and round: see float_binary.
void float_softmax_avx2(const FloatSoftmaxArgs& args) {
  if (args.stride != 1) return float_softmax_reference(args);
  float largest = 0.0f;
  with_quantized_type(args.x_dtype, [&](auto x) { largest = largest_of<decltype(x)>(args); });
  const Elements elements{_mm256_set1_ps(args.x_scale), _mm256_set1_ps(largest)};
  const Operand x = make_operand(args.x, 1, args.x_dtype, args.x_zero_point);
  const __m256 reciprocal = _mm256_set1_ps(1.0f / sum_of(x, args.depth, elements));
  const __m256 y_scale = _mm256_set1_ps(args.y_scale);
  const __m256 low = _mm256_set1_ps(static_cast<float>(args.range.qmin - args.range.zero_point));
  const __m256 high = _mm256_set1_ps(static_cast<float>(args.range.qmax - args.range.zero_point));
  const __m256i zero_point = _mm256_set1_epi32(args.range.zero_point);
  for_each_8(x, x, args.depth, static_cast<uint8_t*>(args.y), [=](__m256i centred, __m256i) {
    const __m256 v = _mm256_div_ps(_mm256_mul_ps(elements(centred), reciprocal), y_scale);
    return _mm256_add_epi32(_mm256_cvtps_epi32(_mm256_min_ps(_mm256_max_ps(v, low), high)), zero_point);
  });
}

}  // namespace q8
