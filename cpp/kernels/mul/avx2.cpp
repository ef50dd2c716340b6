// SPDX-License-Identifier: Apache-2.0
// mul with AVX2 and FMA. To saturate, then round, then clamp is to clamp to [qmin, qmax] and round: the bounds are
// integers inside the range of the dtype, and half_even is monotonic.
#include "kernels/elementwise/avx2.h"

#include "kernels/mul/mul.h"

namespace q8 {
namespace {

template <bool fused>
void run(const MulArgs& args) {
  const Operand left = make_operand(args.a, args.a_step, args.a_dtype, args.a_zero_point);
  const Operand right = make_operand(args.b, args.b_step, args.b_dtype, args.b_zero_point);
  const __m256 ratio = _mm256_set1_ps(args.ratio), end = _mm256_set1_ps(2147483648.0f);
  const __m256 zero_point = _mm256_set1_ps(static_cast<float>(args.range.zero_point));
  const __m256 low = _mm256_set1_ps(static_cast<float>(args.range.qmin));
  const __m256 high = _mm256_set1_ps(static_cast<float>(args.range.qmax));
  for_each_8(left, right, args.count, static_cast<uint8_t*>(args.y), [=](__m256i a, __m256i b) {
    const __m256 exact = _mm256_cvtepi32_ps(_mm256_mullo_epi32(a, b));
    const __m256 v =
        fused ? _mm256_fmadd_ps(exact, ratio, zero_point) : _mm256_add_ps(_mm256_mul_ps(exact, ratio), zero_point);
    const __m256 within = _mm256_blendv_ps(v, low, _mm256_cmp_ps(v, end, _CMP_NLT_UQ));
    return _mm256_cvtps_epi32(_mm256_min_ps(_mm256_max_ps(within, low), high));
  });
}

}  // namespace

void mul_avx2(const MulArgs& args) { return args.fused ? run<true>(args) : run<false>(args); }

}  // namespace q8
