// SPDX-License-Identifier: Apache-2.0
// float_binary with AVX2 and FMA. To saturate, then round, then clamp is to clamp to the bounds and round: they are
// integers inside the range of the dtype, and half_even is monotonic. max(v, low) is low for a NaN.
#include "kernels/elementwise/avx2.h"

#include "kernels/float_binary/float_binary.h"

namespace q8 {
namespace {

// From a quantized value to the real one: the zero point is in the integer, or fused into the product.
struct Dequantization {
  __m256 scale, addend;
};

template <bool fused>
Operand operand_of(const void* values, int64_t step, DType dtype, int32_t zero_point) {
  return make_operand(values, step, dtype, fused ? 0 : zero_point);
}

Dequantization dequantization_of(int32_t zero_point, float scale) {
  return {.scale = _mm256_set1_ps(scale), .addend = _mm256_set1_ps(static_cast<float>(-zero_point) * scale)};
}

template <bool fused>
__m256 real(__m256i q, const Dequantization& by) {
  const __m256 exact = _mm256_cvtepi32_ps(q);
  return fused ? _mm256_fmadd_ps(exact, by.scale, by.addend) : _mm256_mul_ps(exact, by.scale);
}

template <FloatOperator op>
__m256 apply(__m256 a, __m256 b) {
  if constexpr (op == FloatOperator::add) return _mm256_add_ps(a, b);
  if constexpr (op == FloatOperator::sub) return _mm256_sub_ps(a, b);
  return _mm256_mul_ps(a, b);
}

template <QuantizeRule rule>
__m256 scaled(__m256 v, __m256 y_scale, __m256 reciprocal, __m256 zero_point) {
  if constexpr (rule == QuantizeRule::half_even_reciprocal) return _mm256_mul_ps(v, reciprocal);
  if constexpr (rule == QuantizeRule::half_even_fused) return _mm256_fmadd_ps(v, reciprocal, zero_point);
  if constexpr (rule == QuantizeRule::half_even_added) {
    return _mm256_add_ps(_mm256_mul_ps(v, reciprocal), zero_point);
  }
  return _mm256_div_ps(v, y_scale);
}

template <QuantizeRule rule, FloatOperator op>
void run(const FloatBinaryArgs& args) {
  constexpr bool fused = rule == QuantizeRule::half_even_reciprocal;
  constexpr bool is_inside = rule == QuantizeRule::half_even_fused || rule == QuantizeRule::half_even_added;
  const Operand left = operand_of<fused>(args.a, args.a_step, args.a_dtype, args.a_zero_point);
  const Operand right = operand_of<fused>(args.b, args.b_step, args.b_dtype, args.b_zero_point);
  const Dequantization by_a = dequantization_of(args.a_zero_point, args.a_scale);
  const Dequantization by_b = dequantization_of(args.b_zero_point, args.b_scale);
  const __m256 y_scale = _mm256_set1_ps(args.y_scale), reciprocal = _mm256_set1_ps(1.0f / args.y_scale);
  const __m256 zero_point = _mm256_set1_ps(static_cast<float>(args.range.zero_point));
  const int32_t outside = is_inside ? 0 : args.range.zero_point;
  const __m256 low = _mm256_set1_ps(static_cast<float>(args.range.qmin - outside));
  const __m256 high = _mm256_set1_ps(static_cast<float>(args.range.qmax - outside));
  const __m256i added = _mm256_set1_epi32(outside);
  for_each_8(left, right, args.count, static_cast<uint8_t*>(args.y), [=](__m256i a, __m256i b) {
    const __m256 v =
        scaled<rule>(apply<op>(real<fused>(a, by_a), real<fused>(b, by_b)), y_scale, reciprocal, zero_point);
    return _mm256_add_epi32(_mm256_cvtps_epi32(_mm256_min_ps(_mm256_max_ps(v, low), high)), added);
  });
}

template <QuantizeRule rule>
void run_operator(const FloatBinaryArgs& args) {
  switch (args.op) {
    case FloatOperator::add:
      return run<rule, FloatOperator::add>(args);
    case FloatOperator::sub:
      return run<rule, FloatOperator::sub>(args);
    case FloatOperator::mul:
      return run<rule, FloatOperator::mul>(args);
  }
}

}  // namespace

void float_binary_avx2(const FloatBinaryArgs& args) {
  switch (args.rule) {
    case QuantizeRule::half_even_reciprocal:
      return run_operator<QuantizeRule::half_even_reciprocal>(args);
    case QuantizeRule::half_even_fused:
      return run_operator<QuantizeRule::half_even_fused>(args);
    case QuantizeRule::half_even_added:
      return run_operator<QuantizeRule::half_even_added>(args);
    default:
      return run_operator<QuantizeRule::half_even>(args);
  }
}

}  // namespace q8
