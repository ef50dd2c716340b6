// SPDX-License-Identifier: Apache-2.0
// Reads and checks the fields that describe a sliding window, and the operands that both convolutions have.
#include "program/steps/read_window.h"

#include "program/steps/units.h"

namespace q8 {
namespace {

void expect_axis(const StepReader& reader, const char* axis, int64_t padded, int64_t taps, int64_t dilation,
                 int64_t stride, int64_t found, Positions positions) {
  const int64_t spare = padded - ((taps - 1) * dilation + 1);
  reader.require(spare >= 0, "the window has a ", axis, " of ", (taps - 1) * dilation + 1,
                 ", more than the padded input's ", padded);
  const int64_t least = spare / stride + 1;
  const int64_t most = positions == Positions::floor ? least : ceil_div(spare, stride) + 1;
  reader.require(found >= least && found <= most, "the window has ", least, " positions along the ", axis,
                 ", found an output ", axis, " of ", found);
}

void expect_axis_taps_inside(const StepReader& reader, const char* axis, int64_t count, int64_t stride, int64_t taps,
                             int64_t dilation, int64_t pad, int64_t size) {
  for (int64_t i = 0; i < count; ++i) {
    const int64_t start = i * stride - pad;
    const int64_t first = start >= 0 ? 0 : ceil_div(-start, dilation);  // the first tap that is not before the input
    reader.require(first < taps && start + first * dilation < size, "output ", axis, " ", i,
                   " has a window without any tap inside the input");
  }
}

}  // namespace

Window read_window(StepReader& reader, int64_t kh, int64_t kw) {
  const Buffer& x = reader.input(0);
  const Buffer& y = reader.output();
  reader.expect_rank(x, 4, "x");
  reader.expect_rank(y, 4, "y");
  const std::vector<int64_t> strides = reader.integers("strides", 2, 1, INT32_MAX);
  const std::vector<int64_t> dilations = reader.integers("dilations", 2, 1, INT32_MAX);
  const std::vector<int64_t> pads = reader.integers("pads", 4, 0, INT32_MAX);
  reader.require(x.shape[0] == y.shape[0], "x and y must have the same N, found ", x.shape[0], " and ", y.shape[0]);
  for (const int64_t size : {x.shape[1], x.shape[2], kh, kw}) {
    reader.require(size <= INT32_MAX, "sizes of images and windows must be below 2^31, found ", size);
  }
  return {.n = x.shape[0],
          .h = x.shape[1],
          .w = x.shape[2],
          .c = x.shape[3],
          .oh = y.shape[1],
          .ow = y.shape[2],
          .kh = kh,
          .kw = kw,
          .stride_h = strides[0],
          .stride_w = strides[1],
          .dilation_h = dilations[0],
          .dilation_w = dilations[1],
          .pad_top = pads[0],
          .pad_left = pads[1],
          .pad_bottom = pads[2],
          .pad_right = pads[3]};
}

void expect_positions(const StepReader& reader, const Window& window, Positions positions) {
  expect_axis(reader, "height", window.h + window.pad_top + window.pad_bottom, window.kh, window.dilation_h,
              window.stride_h, window.oh, positions);
  expect_axis(reader, "width", window.w + window.pad_left + window.pad_right, window.kw, window.dilation_w,
              window.stride_w, window.ow, positions);
}

void expect_taps_inside(const StepReader& reader, const Window& window) {
  expect_axis_taps_inside(reader, "row", window.oh, window.stride_h, window.kh, window.dilation_h, window.pad_top,
                          window.h);
  expect_axis_taps_inside(reader, "column", window.ow, window.stride_w, window.kw, window.dilation_w, window.pad_left,
                          window.w);
}

ConvolutionFields read_convolution(StepReader& reader) {
  const bool x_zero_point_is_input = reader.input_count() == 3;
  reader.expect_counts(x_zero_point_is_input ? 3 : 2, 1);
  const Buffer& x = reader.input(0);
  const Buffer& w = reader.input(1);
  reader.expect_quantized(x, "x");
  reader.expect_quantized(w, "w");
  reader.expect_rank(w, 4, "w");
  reader.require(reader.input_is_constant(1), "w must be constant");

  ConvolutionFields fields{.window = read_window(reader, w.shape[1], w.shape[2]),
                           .o = w.shape[0],
                           .x_dtype = x.dtype,
                           .w_dtype = w.dtype,
                           .x_zero_point = {},
                           .w_zero_point = {},
                           .bias = {}};
  expect_positions(reader, fields.window, Positions::floor);
  reader.require(reader.output().shape[3] == fields.o, "y must have as many channels as w has, ", fields.o, ", found ",
                 reader.output().shape[3]);
  if (x_zero_point_is_input) {
    reader.expect_dtype(reader.input(2), x.dtype, "the zero point of x");
    reader.expect_shape(reader.input(2), {1}, "the zero point of x");
    fields.x_zero_point = {.value = 0, .input = 2, .dtype = x.dtype};
  } else {
    fields.x_zero_point.value = reader.zero_point("x_zero_point", x.dtype);
  }
  fields.w_zero_point = reader.zero_point_array("w_zero_point", {fields.o}, w.dtype);
  fields.bias = reader.has_array("bias") ? reader.int32_array("bias", {fields.o})
                                         : std::vector<int32_t>(static_cast<size_t>(fields.o), 0);
  return fields;
}

}  // namespace q8
