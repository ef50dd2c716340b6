// SPDX-License-Identifier: Apache-2.0
// How the accumulators of a step become quantized values.
#include "program/steps/requantization.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace q8 {
namespace {

// The values of the parameter `requantize` in docs/steps.md; those between are MultiplierRule.
constexpr int64_t float32_rule = 0, float64_rule = 4, staged_rule = 5, converted_rule = 6, last_rule = converted_rule;

std::vector<double> read_scale64(StepReader& reader, std::initializer_list<int64_t> lengths) {
  std::vector<double> scales;
  for (const int64_t bits : reader.int64_array("scale64_bits", lengths)) {
    scales.push_back(std::bit_cast<double>(bits));
    reader.require(std::isfinite(scales.back()) && scales.back() > 0.0,
                   "scale64_bits must hold the bits of positive finite float64, found ", scales.back());
  }
  return scales;
}

std::vector<int32_t> read_within(StepReader& reader, const char* name, std::initializer_list<int64_t> lengths,
                                 int32_t low, int32_t high) {
  std::vector<int32_t> values = reader.int32_array(name, lengths);
  for (const int32_t value : values) {
    reader.require(value >= low && value <= high, "the array ", name, " must hold values in [", low, ", ", high,
                   "], found ", value);
  }
  return values;
}

}  // namespace

Requantization::Requantization(StepReader& reader, DType y_dtype, std::initializer_list<int64_t> lengths, Rows rows,
                               Isa isa)
    : rule_(reader.has("requantize") ? reader.integer("requantize", float32_rule, last_rule) : float32_rule),
      float32_(requantize_kernel(isa)),
      converted_(requantize_converted_kernel(isa)),
      by_multiplier_(requantize_multiplier_kernel(isa)),
      float64_(requantize_float64_kernel(isa)),
      staged_(requantize_staged_kernel(isa)) {
  if (rule_ == float32_rule) {
    scale_ = reader.positive_f32_array("scale_bits", lengths);
  } else if (rule_ == float64_rule) {
    scale64_ = read_scale64(reader, lengths);
  } else if (rule_ == converted_rule) {
    scale_ = reader.positive_f32_array("scale_bits", lengths);
    if (reader.has_array("bias_bits")) {
      bias_ = reader.finite_f32_array("bias_bits", {std::ssize(scale_)});
      if (reader.has("bias_scale_bits")) bias_scale_ = reader.positive_f32("bias_scale_bits");
    }
  } else {
    read_multipliers(reader, lengths, rows);
    range_ = reader.bounds(y_dtype);
    range_.zero_point = static_cast<int32_t>(reader.integer("y_zero_point", INT32_MIN, INT32_MAX));
    return;
  }
  range_ = reader.range(y_dtype);
}

void Requantization::read_multipliers(StepReader& reader, std::initializer_list<int64_t> lengths, Rows rows) {
  const bool is_staged = rule_ == staged_rule;
  multiplier_ = read_within(reader, "multiplier", lengths, 0, INT32_MAX);
  shift_ = read_within(reader, "shift", lengths, is_staged ? -31 : 1, 62);
  reader.require(multiplier_.size() == shift_.size(), "the arrays multiplier and shift must have one length, found ",
                 multiplier_.size(), " and ", shift_.size());
  if (is_staged) {
    const int32_t first_shift = static_cast<int32_t>(reader.integer("first_shift", 0, 31));
    for (size_t i = 0; i < shift_.size(); ++i) {
      reader.require((int64_t{multiplier_[i]} << std::max(-shift_[i], 0)) <= int64_t{1} << 31,
                     "multiplier / 2^shift must be at most 2^31, found ", multiplier_[i], " and ", shift_[i]);
      reader.require(shift_[i] >= first_shift - 31, "shift must be at least first_shift - 31, found ", shift_[i]);
    }
    const auto rounding = [&](const char* name) {
      return static_cast<IntegerRounding>(reader.integer(name, 0, last_integer_rounding));
    };
    staged_rule_ = {.first_shift = first_shift,
                    .first_rounding = rounding("first_rounding"),
                    .rounding = rounding("rounding"),
                    .saturates = reader.integer("saturates", 0, 1) == 1};
  } else if (rows == Rows::channels && reader.has("double_rounding_from")) {
    reader.require(rule_ != static_cast<int64_t>(MultiplierRule::double_rounding),
                   "double_rounding_from is for the rules 2 and 3");
    double_rounding_from_ = reader.integer("double_rounding_from", 0, INT32_MAX);
  }
}

void Requantization::run(const RequantizedTile& tile) const {
  const int64_t stride = scale_.size() + scale64_.size() + multiplier_.size() > 1 ? 1 : 0;
  const int64_t first = tile.channel * stride;
  if (rule_ == float32_rule) {
    float32_.run({.acc = tile.acc,
                  .acc_stride = tile.acc_stride,
                  .rows = tile.rows,
                  .channels = tile.channels,
                  .scale = scale_.data() + first,
                  .scale_stride = stride,
                  .range = range_,
                  .y = tile.y,
                  .y_stride = tile.y_stride});
  } else if (rule_ == converted_rule) {
    converted_.run({.acc = tile.acc,
                    .acc_stride = tile.acc_stride,
                    .rows = tile.rows,
                    .channels = tile.channels,
                    .bias = bias_.empty() ? nullptr : bias_.data() + first,
                    .bias_scale = bias_scale_,
                    .scale = scale_.data() + first,
                    .parameter_stride = stride,
                    .range = range_,
                    .y = tile.y,
                    .y_stride = tile.y_stride});
  } else if (rule_ == float64_rule) {
    float64_.run({.acc = tile.acc,
                  .acc_stride = tile.acc_stride,
                  .rows = tile.rows,
                  .channels = tile.channels,
                  .scale = scale64_.data() + first,
                  .scale_stride = stride,
                  .range = range_,
                  .y = tile.y,
                  .y_stride = tile.y_stride});
  } else if (rule_ == staged_rule) {
    run_staged(tile);
  } else {
    const int64_t split = std::clamp(double_rounding_from_ - tile.channel, int64_t{0}, tile.channels);
    run_from(tile, 0, split, static_cast<MultiplierRule>(rule_));
    run_from(tile, split, tile.channels - split, MultiplierRule::double_rounding);
  }
}

// Some channels of the tile, from its channel number `first` on.
void Requantization::run_from(const RequantizedTile& tile, int64_t first, int64_t channels, MultiplierRule rule) const {
  if (channels == 0) return;
  const int64_t stride = multiplier_.size() > 1 ? 1 : 0;
  const int64_t parameter = (tile.channel + first) * stride;
  by_multiplier_.run({.acc = tile.acc + first,
                      .acc_stride = tile.acc_stride,
                      .rows = tile.rows,
                      .channels = channels,
                      .rule = rule,
                      .multiplier = multiplier_.data() + parameter,
                      .shift = shift_.data() + parameter,
                      .parameter_stride = stride,
                      .range = range_,
                      .y = static_cast<uint8_t*>(tile.y) + first,
                      .y_stride = tile.y_stride});
}

void Requantization::run_staged(const RequantizedTile& tile) const {
  const int64_t stride = multiplier_.size() > 1 ? 1 : 0;
  staged_.run({.acc = tile.acc,
               .acc_stride = tile.acc_stride,
               .rows = tile.rows,
               .channels = tile.channels,
               .rule = staged_rule_,
               .multiplier = multiplier_.data() + tile.channel * stride,
               .shift = shift_.data() + tile.channel * stride,
               .parameter_stride = stride,
               .range = range_,
               .y = tile.y,
               .y_stride = tile.y_stride});
}

std::string Requantization::kernel() const {
  switch (rule_) {
    case float32_rule:
      return float32_.symbol;
    case float64_rule:
      return float64_.symbol;
    case converted_rule:
      return converted_.symbol;
    case staged_rule:
      return staged_.symbol;
    default:
      return by_multiplier_.symbol;
  }
}

}  // namespace q8
