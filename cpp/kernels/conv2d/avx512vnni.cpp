// SPDX-License-Identifier: Apache-2.0
// conv2d with AVX-512 VNNI.
#include "kernels/dot/avx512vnni.h"

#include "kernels/conv2d/vnni.h"

namespace q8 {

size_t conv2d_avx512vnni_packed_bytes(const Conv2dShape& shape) { return packed_bytes_of(shape); }

void conv2d_avx512vnni_pack(const Conv2dShape& shape, const void* w, const int32_t* w_zero_point, void* packed) {
  pack_weights(shape, w, w_zero_point, packed);
}

size_t conv2d_avx512vnni_scratch_bytes(const Conv2dShape& shape, int64_t pixel_tile) {
  return scratch_bytes_of(shape, pixel_tile);
}

void conv2d_avx512vnni(const Conv2dArgs& args) { run(args); }

}  // namespace q8
