// SPDX-License-Identifier: Apache-2.0
// How the accumulators of a step become quantized values: the rule that the parameter `requantize` names, its arrays,
// and the kernel for it.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "kernels/requantize/requantize.h"
#include "kernels/requantize_converted/requantize_converted.h"
#include "kernels/requantize_float64/requantize_float64.h"
#include "kernels/requantize_multiplier/requantize_multiplier.h"
#include "kernels/requantize_staged/requantize_staged.h"
#include "program/step_reader.h"

namespace q8 {

// A matrix of accumulators and the quantized values they become, both with a stride between rows; the first column has
// the parameters of `channel`.
struct RequantizedTile {
  const int32_t* acc;
  int64_t acc_stride;
  void* y;
  int64_t y_stride;
  int64_t rows;
  int64_t channel;
  int64_t channels;
};

class Requantization {
 public:
  // Do neighbours along a row differ in their channel, or are rows only runs of elements?
  enum class Rows : uint8_t { channels, elements };

  // Reads `requantize`, the fields of that rule with arrays of one of these lengths, y_zero_point, qmin and qmax.
  Requantization(StepReader& reader, DType y_dtype, std::initializer_list<int64_t> lengths, Rows rows, Isa isa);

  void run(const RequantizedTile& tile) const;

  std::string kernel() const;  // "requantize_avx2"

 private:
  void read_multipliers(StepReader& reader, std::initializer_list<int64_t> lengths, Rows rows);
  void run_from(const RequantizedTile& tile, int64_t first, int64_t channels, MultiplierRule rule) const;
  void run_staged(const RequantizedTile& tile) const;

  int64_t rule_;
  int64_t double_rounding_from_ = INT64_MAX;  // this channel and all behind it follow that rule
  StagedRule staged_rule_{};
  std::vector<float> scale_, bias_;
  float bias_scale_ = 1.0f;
  std::vector<double> scale64_;
  std::vector<int32_t> multiplier_, shift_;
  QuantizedRange range_;
  const RequantizeKernel& float32_;
  const RequantizeConvertedKernel& converted_;
  const RequantizeMultiplierKernel& by_multiplier_;
  const RequantizeFloat64Kernel& float64_;
  const RequantizeStagedKernel& staged_;
};

}  // namespace q8
