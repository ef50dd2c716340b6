// SPDX-License-Identifier: Apache-2.0
// The reference kernel of the family mul, and the table of the family.
#include <cmath>

#include "kernels/lookup.h"
#include "kernels/mul/mul.h"
#include "kernels/with_type.h"

namespace q8 {
namespace {

template <class A, class B, class Y>
void run(const MulArgs& args) {
  const A* a = static_cast<const A*>(args.a);
  const B* b = static_cast<const B*>(args.b);
  Y* y = static_cast<Y*>(args.y);
  const float y_zero_point = static_cast<float>(args.range.zero_point);
  for (int64_t i = 0; i < args.count; ++i) {
    const int32_t product = (a[i * args.a_step] - args.a_zero_point) * (b[i * args.b_step] - args.b_zero_point);
    const float exact = static_cast<float>(product);
    const float v = args.fused ? std::fmaf(exact, args.ratio, y_zero_point) : exact * args.ratio + y_zero_point;
    y[i] = static_cast<Y>(quantize_inside(v, args.range));
  }
}

#define Q8_KERNEL(symbol, isa) {isa, #symbol, symbol},
constexpr MulKernel table[] = {
#include "kernels/mul/kernels.inc"
};
#undef Q8_KERNEL

}  // namespace

void mul_reference(const MulArgs& args) {
  with_quantized_type(args.a_dtype, [&](auto a) {
    with_quantized_type(args.b_dtype, [&](auto b) {
      with_quantized_type(args.range.dtype, [&](auto y) { run<decltype(a), decltype(b), decltype(y)>(args); });
    });
  });
}

Q8_DEFINE_LOOKUP(mul, MulKernel)

}  // namespace q8
