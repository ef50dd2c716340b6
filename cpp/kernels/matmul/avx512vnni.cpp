// SPDX-License-Identifier: Apache-2.0
// matmul with AVX-512 VNNI.
#include "kernels/dot/avx512vnni.h"

#include "kernels/matmul/vnni.h"

namespace q8 {

size_t matmul_avx512vnni_packed_bytes(const MatmulShape& shape) { return packed_bytes_of(shape); }

void matmul_avx512vnni_pack(const MatmulShape& shape, const MatmulB& b, int64_t column_begin, int64_t column_count,
                            void* packed) {
  pack_columns(shape, b, column_begin, column_count, packed);
}

size_t matmul_avx512vnni_scratch_bytes(const MatmulShape& shape, int64_t row_tile) {
  return scratch_bytes_of(shape, row_tile);
}

void matmul_avx512vnni(const MatmulArgs& args) { run(args); }

}  // namespace q8
