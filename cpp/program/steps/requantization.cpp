// SPDX-License-Identifier: Apache-2.0
// How the accumulators of a step become quantized values.
#include "program/steps/requantization.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace q8 {
namespace {

// The values of the parameter `requantize` in docs/steps.md; those between are MultiplierRule.
constexpr int64_t float32_rule = 0, float64_rule = 4;

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
    : rule_(reader.has("requantize") ? reader.integer("requantize", float32_rule, float64_rule) : float32_rule),
      float32_(requantize_kernel(isa)),
      by_multiplier_(requantize_multiplier_kernel(isa)),
      float64_(requantize_float64_kernel(isa)) {
  if (rule_ == float32_rule) {
    scale_ = reader.positive_f32_array("scale_bits", lengths);
  } else if (rule_ == float64_rule) {
    scale64_ = read_scale64(reader, lengths);
  } else {
    multiplier_ = read_within(reader, "multiplier", lengths, 0, INT32_MAX);
    shift_ = read_within(reader, "shift", lengths, 1, 62);
    reader.require(multiplier_.size() == shift_.size(), "the arrays multiplier and shift must have one length, found ",
                   multiplier_.size(), " and ", shift_.size());
    if (rows == Rows::channels && reader.has("double_rounding_from")) {
      reader.require(rule_ != static_cast<int64_t>(MultiplierRule::double_rounding),
                     "double_rounding_from is for the rules 2 and 3");
      double_rounding_from_ = reader.integer("double_rounding_from", 0, INT32_MAX);
    }
    range_ = reader.bounds(y_dtype);
    range_.zero_point = static_cast<int32_t>(reader.integer("y_zero_point", INT32_MIN, INT32_MAX));
    return;
  }
  range_ = reader.range(y_dtype);
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

std::string Requantization::kernel() const {
  return rule_ == float32_rule ? float32_.symbol : rule_ == float64_rule ? float64_.symbol : by_multiplier_.symbol;
}

}  // namespace q8
