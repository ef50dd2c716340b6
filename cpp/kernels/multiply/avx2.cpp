// SPDX-License-Identifier: Apache-2.0
// multiply with AVX2.
#include "kernels/elementwise/avx2.h"

#include "kernels/multiply/multiply.h"

namespace q8 {

void multiply_avx2(const MultiplyArgs& args) {
  const Operand a = make_operand(args.a, args.a_step, args.a_dtype, args.a_zero_point);
  const Operand b = make_operand(args.b, args.b_step, args.b_dtype, args.b_zero_point);
  for_each_8(a, b, args.count, args.acc, [](__m256i x, __m256i y) { return _mm256_mullo_epi32(x, y); });
}

}  // namespace q8
