// SPDX-License-Identifier: Apache-2.0
// requantize_multiplier on aarch64, whose instructions the rules are made of: sqrdmulh is half_up(a * b / 2^31), a
// rounding shift by -n is half_up(v / 2^n), both without an intermediate overflow.
#include "kernels/requantize/dotprod.h"

#include "kernels/requantize_multiplier/requantize_multiplier.h"

namespace q8 {
namespace {

struct Parameters {
  int32x4_t multiplier;
  int32x4_t left;   // bits
  int32x4_t right;  // bits, negative
};

// half_away(v / 2^n) for a shift of -n: one less before the rounding shift where v is negative. At -2^31 it is exact as
// it is, so the sum may saturate.
int32x4_t half_away_32(int32x4_t v, int32x4_t shift) {
  return vrshlq_s32(vqaddq_s32(v, vshrq_n_s32(vandq_s32(v, shift), 31)), shift);
}

// half_up(product / 2^shift), low half
int32x2_t single_2(int32x2_t acc, int32x2_t multiplier, int32x2_t right) {
  return vmovn_s64(vrshlq_s64(vmull_s32(acc, multiplier), vmovl_s32(right)));
}

template <MultiplierRule rule>
int32x4_t rescale_4(int32x4_t acc, const Parameters& by) {
  if constexpr (rule == MultiplierRule::single_rounding) {
    return vcombine_s32(single_2(vget_low_s32(acc), vget_low_s32(by.multiplier), vget_low_s32(by.right)),
                        single_2(vget_high_s32(acc), vget_high_s32(by.multiplier), vget_high_s32(by.right)));
  } else {
    const int32x4_t high = vqrdmulhq_s32(vshlq_s32(acc, by.left), by.multiplier);
    return rule == MultiplierRule::ruy_x86 ? vrshlq_s32(high, by.right) : half_away_32(high, by.right);
  }
}

template <MultiplierRule rule>
void run(const RequantizeMultiplierArgs& args) {
  const int32x4_t zero_point = vdupq_n_s32(args.range.zero_point);
  const auto load = [&](int64_t c, int64_t count) {
    const auto values = [&](const int32_t* from) { return load_parameters(from, args.parameter_stride, c, count); };
    const int32x4_t shift = values(args.shift), zero = vdupq_n_s32(0), all = vdupq_n_s32(31);
    const bool is_single = rule == MultiplierRule::single_rounding;
    return Parameters{.multiplier = values(args.multiplier),
                      .left = vmaxq_s32(vsubq_s32(all, shift), zero),
                      .right = is_single ? vnegq_s32(shift) : vminq_s32(vsubq_s32(all, shift), zero)};
  };
  const auto rescale = [zero_point](int32x4_t acc, const Parameters& by) {
    return vaddq_s32(rescale_4<rule>(acc, by), zero_point);
  };
  requantize_blocks(args, args.parameter_stride, 0, load, rescale);
}

}  // namespace

void requantize_multiplier_dotprod(const RequantizeMultiplierArgs& args) {
  switch (args.rule) {
    case MultiplierRule::double_rounding:
      return run<MultiplierRule::double_rounding>(args);
    case MultiplierRule::ruy_x86:
      return run<MultiplierRule::ruy_x86>(args);
    case MultiplierRule::single_rounding:
      return run<MultiplierRule::single_rounding>(args);
  }
}

}  // namespace q8
