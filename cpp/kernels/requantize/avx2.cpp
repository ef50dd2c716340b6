// SPDX-License-Identifier: Apache-2.0
// requantize with AVX2. To saturate, then round, then clamp is to clamp and round: the bounds are integers inside the
// range of the dtype, and half_even is monotonic. Only the upper bound comes before the conversion to int32: what is
// too low for that becomes -2^31, which saturates as it should.
#include "kernels/requantize/avx2.h"

#include "kernels/requantize/requantize.h"

namespace q8 {
namespace {

struct Parameters {
  __m256 scale;
};

}  // namespace

void requantize_avx2(const RequantizeArgs& args) {
  const __m256 bound = _mm256_set1_ps(static_cast<float>(args.range.qmax - args.range.zero_point));
  const auto load = [&](int64_t c, __m256i lanes) {
    const bool per_channel = args.scale_stride != 0;
    return Parameters{per_channel ? load_lanes(args.scale + c, lanes) : _mm256_set1_ps(args.scale[0])};
  };
  const auto rescale = [bound](__m256i acc, const Parameters& by) {
    return _mm256_cvtps_epi32(_mm256_min_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(acc), by.scale), bound));
  };
  requantize_blocks(args, args.scale_stride, args.range.zero_point, load, rescale);
}

}  // namespace q8
