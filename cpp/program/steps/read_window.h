// SPDX-License-Identifier: Apache-2.0
// Reads and checks the fields that describe a sliding window, and the operands that both convolutions have.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/window.h"
#include "program/loaded_step.h"
#include "program/step_reader.h"

namespace q8 {

// strides, dilations and pads over x[N, H, W, C] with KH x KW taps; y is [N, OH, OW, channels].
Window read_window(StepReader& reader, int64_t kh, int64_t kw);

// y must have one row for each position of the window: floor of the division by the stride, or, for pools, its ceiling.
enum class Positions : uint8_t { floor, floor_or_ceil };
void expect_positions(const StepReader& reader, const Window& window, Positions positions);

// For pools that use nothing else: every window must have a tap inside the image.
void expect_taps_inside(const StepReader& reader, const Window& window);

struct ConvolutionFields {
  Window window;
  int64_t o;
  DType x_dtype, w_dtype;
  ZeroPoint x_zero_point;
  std::vector<int32_t> w_zero_point;  // [O]
  std::vector<int32_t> bias;          // [O]
};

ConvolutionFields read_convolution(StepReader& reader);

}  // namespace q8
