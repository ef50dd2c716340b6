// SPDX-License-Identifier: Apache-2.0
// The reference kernel of the family matmul_pairs: the sums of matmul, and what they gain; and the table of the family.
#include "kernels/lookup.h"
#include "kernels/matmul_pairs/matmul_pairs.h"
#include "numerics/accumulator.h"

namespace q8 {
namespace {

// What an accumulator gains when pairs of products saturate.
int64_t excess_of_pairs(const MatmulArgs& args, int64_t m, int64_t n) {
  const uint8_t* a = static_cast<const uint8_t*>(args.a) + m * args.shape->k;
  const int8_t* b = static_cast<const int8_t*>(args.b.b) + n;
  int64_t excess = 0;
  for (int64_t k = 0; k + 1 < args.shape->k; k += 2) {
    excess += pair_excess(a[k] * b[k * args.shape->n] + a[k + 1] * b[(k + 1) * args.shape->n]);
  }
  return excess;
}

#define Q8_KERNEL(symbol, isa) {isa, #symbol, symbol##_packed_bytes, symbol##_pack, symbol##_scratch_bytes, symbol},
constexpr MatmulPairsKernel table[] = {
#include "kernels/matmul_pairs/kernels.inc"
};
#undef Q8_KERNEL

}  // namespace

size_t matmul_pairs_reference_packed_bytes(const MatmulShape&) { return 0; }

void matmul_pairs_reference_pack(const MatmulShape&, const MatmulB&, int64_t, int64_t, void*) {}

size_t matmul_pairs_reference_scratch_bytes(const MatmulShape&, int64_t) { return 0; }

void matmul_pairs_reference(const MatmulArgs& args) {
  matmul_reference(args);
  for (int64_t i = 0; i < args.row_count; ++i) {
    for (int64_t j = 0; j < args.column_count; ++j) {
      int32_t& acc = args.acc[i * args.acc_stride + j];
      acc = wrap(acc + excess_of_pairs(args, args.row_begin + i, args.column_begin + j));
    }
  }
}

Q8_DEFINE_LOOKUP(matmul_pairs, MatmulPairsKernel)

}  // namespace q8
