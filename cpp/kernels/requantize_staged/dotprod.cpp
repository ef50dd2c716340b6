// SPDX-License-Identifier: Apache-2.0
// requantize_staged on aarch64: two accumulators at a time in lanes of 64 bits. A mask is a vector of all ones or
// zeros.
#include "kernels/requantize/dotprod.h"

#include "kernels/requantize_staged/requantize_staged.h"

namespace q8 {
namespace {

// Where v / 2^n, with n > 0, lies above its floor by so much that the rule takes one more.
struct Fraction {
  uint64x2_t is_exact, is_above_half, is_half, is_odd, is_negative;
};

uint64x2_t inverted(uint64x2_t mask) { return veorq_u64(mask, vdupq_n_u64(~uint64_t{0})); }

uint64x2_t one_more(IntegerRounding rule, const Fraction& f) {
  switch (rule) {
    case IntegerRounding::half_even:
      return vorrq_u64(f.is_above_half, vandq_u64(f.is_half, f.is_odd));
    case IntegerRounding::half_up:
    case IntegerRounding::hwguide:
      return vorrq_u64(f.is_above_half, f.is_half);
    case IntegerRounding::half_away:
      return vorrq_u64(f.is_above_half, vbicq_u64(f.is_half, f.is_negative));
    case IntegerRounding::half_down:
      return f.is_above_half;
    case IntegerRounding::half_to_zero:
      return vorrq_u64(f.is_above_half, vandq_u64(f.is_half, f.is_negative));
    case IntegerRounding::floor:
      return vdupq_n_u64(0);
    case IntegerRounding::ceil:
      return inverted(f.is_exact);
    case IntegerRounding::toward_zero:
      return vbicq_u64(f.is_negative, f.is_exact);
    default:  // to_odd: an even floor has room in its last bit
      return inverted(vorrq_u64(f.is_exact, f.is_odd));
  }
}

int64x2_t rounded(int64x2_t v, IntegerRounding rule, int64x2_t n) {
  const int64x2_t one = vdupq_n_s64(1);
  const int64x2_t power = vshlq_s64(one, n), half = vshrq_n_s64(power, 1);
  const int64x2_t rest = vandq_s64(v, vsubq_s64(power, one)), floor = vshlq_s64(v, vnegq_s64(n));
  const uint64x2_t has_fraction = vcgtzq_s64(n);
  const Fraction f{.is_exact = vceqzq_s64(rest),
                   .is_above_half = vcgtq_s64(rest, half),
                   .is_half = vandq_u64(has_fraction, vceqq_s64(rest, half)),
                   .is_odd = vtstq_s64(floor, one),
                   .is_negative = vcltzq_s64(v)};
  const int64x2_t up = vsubq_s64(floor, vreinterpretq_s64_u64(one_more(rule, f)));  // a mask is -1
  if (rule != IntegerRounding::hwguide) return up;
  return vaddq_s64(up, vreinterpretq_s64_u64(vandq_u64(has_fraction, f.is_negative)));
}

// Limited to int32.
int32x2_t limited(int64x2_t v, bool saturates) { return saturates ? vqmovn_s64(v) : vmovn_s64(v); }

struct Parameters {
  int32x2_t multiplier;
  int64x2_t left, rest;
};

struct Halves {
  Parameters first, last;  // of two channels each
};

Parameters make_parameters(const StagedRule& rule, int32x2_t multiplier, int32x2_t shift) {
  const int32x2_t first = vdup_n_s32(rule.first_shift), zero = vdup_n_s32(0);
  return {.multiplier = multiplier,
          .left = vmovl_s32(vmax_s32(vsub_s32(first, shift), zero)),
          .rest = vmovl_s32(vmax_s32(vsub_s32(shift, first), zero))};
}

int64x2_t rescale_2(int32x2_t acc, const StagedRule& rule, const Parameters& by) {
  if (rule.first_shift == 0) {
    const int64x2_t product = vshlq_s64(vmull_s32(acc, by.multiplier), by.left);
    return vmovl_s32(limited(rounded(product, rule.rounding, by.rest), rule.saturates));
  }
  const int32x2_t shifted = limited(vshlq_s64(vmovl_s32(acc), by.left), rule.saturates);
  const int64x2_t product = vmull_s32(shifted, by.multiplier);
  const int64x2_t high = rounded(product, rule.first_rounding, vdupq_n_s64(rule.first_shift));
  return rounded(vmovl_s32(limited(high, rule.saturates)), rule.rounding, by.rest);
}

// rescale_staged plus the zero point
int32x2_t requantize_2(int32x2_t acc, const StagedRule& rule, const Parameters& by, int64x2_t zero_point) {
  return limited(vaddq_s64(rescale_2(acc, rule, by), zero_point), rule.saturates);
}

}  // namespace

void requantize_staged_dotprod(const RequantizeStagedArgs& args) {
  const int64x2_t zero_point = vdupq_n_s64(args.range.zero_point);
  const auto load = [&](int64_t c, int64_t count) {
    const auto values = [&](const int32_t* from) { return load_parameters(from, args.parameter_stride, c, count); };
    const int32x4_t multiplier = values(args.multiplier), shift = values(args.shift);
    return Halves{.first = make_parameters(args.rule, vget_low_s32(multiplier), vget_low_s32(shift)),
                  .last = make_parameters(args.rule, vget_high_s32(multiplier), vget_high_s32(shift))};
  };
  const auto rescale = [&](int32x4_t acc, const Halves& by) {
    return vcombine_s32(requantize_2(vget_low_s32(acc), args.rule, by.first, zero_point),
                        requantize_2(vget_high_s32(acc), args.rule, by.last, zero_point));
  };
  requantize_blocks(args, args.parameter_stride, 0, load, rescale);
}

}  // namespace q8
