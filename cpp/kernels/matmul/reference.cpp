// SPDX-License-Identifier: Apache-2.0
// The reference kernel of the family matmul, the definition in plain loops; and the table of the family.
#include "kernels/lookup.h"
#include "kernels/matmul/matmul.h"
#include "kernels/with_type.h"
#include "numerics/accumulator.h"

namespace q8 {
namespace {

template <class A, class B>
int32_t accumulate(const MatmulArgs& args, int64_t m, int64_t n) {
  const A* a = static_cast<const A*>(args.a) + m * args.shape->k;
  const B* b = static_cast<const B*>(args.b.b) + n;
  const int32_t b_zero_point = args.b.zero_point[n * args.b.zero_point_stride];
  const int32_t bits = args.saturated_bits;
  int32_t acc = accumulated(args.bias == nullptr ? 0 : args.bias[m * args.bias_stride + n], 0, bits);
  for (int64_t k = 0; k < args.shape->k; ++k) {
    const int64_t product = (a[k] - args.a_zero_point) * (b[k * args.shape->n] - b_zero_point);
    acc = accumulated(acc, product, bits);
  }
  return acc;
}

template <class A, class B>
void run(const MatmulArgs& args) {
  for (int64_t i = 0; i < args.row_count; ++i) {
    for (int64_t j = 0; j < args.column_count; ++j) {
      args.acc[i * args.acc_stride + j] = accumulate<A, B>(args, args.row_begin + i, args.column_begin + j);
    }
  }
}

#define Q8_KERNEL(symbol, isa) {isa, #symbol, symbol##_packed_bytes, symbol##_pack, symbol##_scratch_bytes, symbol},
constexpr MatmulKernel table[] = {
#include "kernels/matmul/kernels.inc"
};
#undef Q8_KERNEL

}  // namespace

size_t matmul_reference_packed_bytes(const MatmulShape&) { return 0; }

void matmul_reference_pack(const MatmulShape&, const MatmulB&, int64_t, int64_t, void*) {}

size_t matmul_reference_scratch_bytes(const MatmulShape&, int64_t) { return 0; }

void matmul_reference(const MatmulArgs& args) {
  with_quantized_type(args.shape->a_dtype, [&](auto a) {
    with_quantized_type(args.shape->b_dtype, [&](auto b) { run<decltype(a), decltype(b)>(args); });
  });
}

Q8_DEFINE_LOOKUP(matmul, MatmulKernel)

}  // namespace q8
