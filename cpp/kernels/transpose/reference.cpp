// SPDX-License-Identifier: Apache-2.0
// The reference kernel of the family transpose, and the table of the family.
#include "kernels/lookup.h"
#include "kernels/transpose/transpose.h"

namespace q8 {
namespace {

template <class T>
void transpose(const TransposeArgs& args) {
  const T* x = static_cast<const T*>(args.x);
  T* y = static_cast<T*>(args.y);
  for (int64_t j = 0; j < args.columns; ++j) {
    for (int64_t i = 0; i < args.rows; ++i) y[j * args.y_stride + i] = x[i * args.x_stride + j];
  }
}

#define Q8_KERNEL(symbol, isa) {isa, #symbol, symbol},
constexpr TransposeKernel table[] = {
#include "kernels/transpose/kernels.inc"
};
#undef Q8_KERNEL

}  // namespace

void transpose_reference(const TransposeArgs& args) {
  if (args.element_bytes == 1) {
    transpose<uint8_t>(args);
  } else {
    transpose<uint32_t>(args);
  }
}

Q8_DEFINE_LOOKUP(transpose, TransposeKernel)

}  // namespace q8
