// SPDX-License-Identifier: Apache-2.0
// The reference kernel of the family float_binary, and the table of the family.
#include <cmath>

#include "kernels/float_binary/float_binary.h"
#include "kernels/lookup.h"
#include "kernels/with_type.h"

namespace q8 {
namespace {

float apply(FloatOperator op, float a, float b) {
  switch (op) {
    case FloatOperator::add:
      return a + b;
    case FloatOperator::sub:
      return a - b;
    case FloatOperator::mul:
      break;
  }
  return a * b;
}

// A value from its quantized one; fused, its zero point is multiplied apart.
float real(int32_t q, int32_t zero_point, float scale, bool fused) {
  if (!fused) return static_cast<float>(q - zero_point) * scale;
  return std::fmaf(static_cast<float>(q), scale, static_cast<float>(-zero_point) * scale);
}

template <class A, class B, class Y>
void run(const FloatBinaryArgs& args) {
  const A* a = static_cast<const A*>(args.a);
  const B* b = static_cast<const B*>(args.b);
  Y* y = static_cast<Y*>(args.y);
  const float reciprocal = 1.0f / args.y_scale;
  const float zero_point = static_cast<float>(args.range.zero_point);
  const bool fused = args.rule == QuantizeRule::half_even_reciprocal;
  for (int64_t i = 0; i < args.count; ++i) {
    const float real_a = real(a[i * args.a_step], args.a_zero_point, args.a_scale, fused);
    const float real_b = real(b[i * args.b_step], args.b_zero_point, args.b_scale, fused);
    const float real_y = apply(args.op, real_a, real_b);
    switch (args.rule) {
      case QuantizeRule::half_even_reciprocal:
        y[i] = static_cast<Y>(quantize_outside(real_y * reciprocal, args.range));
        break;
      case QuantizeRule::half_even_fused:
        y[i] = static_cast<Y>(quantize_inside_saturating(std::fma(real_y, reciprocal, zero_point), args.range));
        break;
      case QuantizeRule::half_even_added:
        y[i] = static_cast<Y>(quantize_inside_saturating(real_y * reciprocal + zero_point, args.range));
        break;
      default:
        y[i] = static_cast<Y>(quantize_outside(real_y / args.y_scale, args.range));
    }
  }
}

#define Q8_KERNEL(symbol, isa) {isa, #symbol, symbol},
constexpr FloatBinaryKernel table[] = {
#include "kernels/float_binary/kernels.inc"
};
#undef Q8_KERNEL

}  // namespace

void float_binary_reference(const FloatBinaryArgs& args) {
  with_quantized_type(args.a_dtype, [&](auto a) {
    with_quantized_type(args.b_dtype, [&](auto b) {
      with_quantized_type(args.range.dtype, [&](auto y) { run<decltype(a), decltype(b), decltype(y)>(args); });
    });
  });
}

Q8_DEFINE_LOOKUP(float_binary, FloatBinaryKernel)

}  // namespace q8
