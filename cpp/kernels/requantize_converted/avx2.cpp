// SPDX-License-Identifier: Apache-2.0
// requantize_converted with AVX2. The conversion to int32 gives -2^31 where v is not below 2^31, as the contract says.
#include "kernels/requantize/avx2.h"

#include "kernels/requantize_converted/requantize_converted.h"

namespace q8 {
namespace {

struct Parameters {
  __m256 scale, bias;
};

}  // namespace

void requantize_converted_avx2(const RequantizeConvertedArgs& args) {
  const bool per_channel = args.parameter_stride != 0;
  const __m256 bias_scale = _mm256_set1_ps(args.bias_scale);
  const auto load = [&](int64_t c, __m256i lanes) {
    const auto values = [&](const float* from) {
      return per_channel ? load_lanes(from + c, lanes) : _mm256_set1_ps(from[0]);
    };
    return Parameters{.scale = values(args.scale),
                      .bias = args.bias != nullptr ? values(args.bias) : _mm256_setzero_ps()};
  };
  const auto rescale = [bias_scale](__m256i acc, const Parameters& by) {
    const __m256 sum = _mm256_fmadd_ps(by.bias, bias_scale, _mm256_cvtepi32_ps(acc));
    return _mm256_cvtps_epi32(_mm256_mul_ps(sum, by.scale));
  };
  requantize_blocks(args, args.parameter_stride, args.range.zero_point, load, rescale);
}

}  // namespace q8
