// SPDX-License-Identifier: Apache-2.0
// The kernels of the families requantize, requantize_multiplier and requantize_float64, to be tested by themselves.
#include <bit>
#include <cmath>

#include "base/cpu.h"
#include "base/error.h"
#include "base/f32.h"
#include "bindings/arrays.h"
#include "bindings/register.h"
#include "kernels/requantize/requantize.h"
#include "kernels/requantize_float64/requantize_float64.h"
#include "kernels/requantize_multiplier/requantize_multiplier.h"

namespace py = pybind11;

namespace q8 {
namespace {

void expect(const TensorView& view, DType dtype, size_t rank, const char* name) {
  Q8_REQUIRE(view.dtype == dtype && view.shape.size() == rank, "requantize: ", name, " must be ", dtype_name(dtype),
             " with ", rank, " dimensions, found ", to_string(view.dtype, view.shape));
}

QuantizedRange make_range(int32_t zero_point, int32_t qmin, int32_t qmax, const std::string& dtype_name) {
  const DType dtype = dtype_from_name(dtype_name, "requantize");
  Q8_REQUIRE(is_quantized(dtype), "requantize: dtype must be int8 or uint8, found ", dtype_name);
  const int32_t low = dtype_min(dtype), high = dtype_max(dtype);
  Q8_REQUIRE(zero_point >= low && zero_point <= high, "requantize: zero_point must be in [", low, ", ", high,
             "], found ", zero_point);
  Q8_REQUIRE(low <= qmin && qmin <= qmax && qmax <= high, "requantize: qmin and qmax must be in [", low, ", ", high,
             "] and in order, found ", qmin, " and ", qmax);
  return {.zero_point = zero_point, .qmin = qmin, .qmax = qmax, .dtype = dtype};
}

std::vector<float> read_scales(const TensorView& bits) {
  std::vector<float> scales;
  for (int64_t i = 0; i < bits.shape[0]; ++i) {
    scales.push_back(f32_from_bits(static_cast<const uint32_t*>(bits.data)[i]));
    Q8_REQUIRE(scales.back() > 0.0f && scales.back() <= 3.40282347e38f,
               "requantize: scale_bits must hold the bits of positive finite float32, found ", scales.back());
  }
  return scales;
}

py::array requantize_array(const std::string& isa, const py::array& acc, const py::array& scale_bits,
                           int32_t zero_point, int32_t qmin, int32_t qmax, const std::string& dtype) {
  const DefaultFloatEnvironment environment;
  const TensorView acc_view = view_array(acc, "requantize: acc");
  const TensorView scale_view = view_array(scale_bits, "requantize: scale_bits");
  expect(acc_view, DType::s32, 2, "acc");
  expect(scale_view, DType::u32, 1, "scale_bits");
  const int64_t rows = acc_view.shape[0], channels = acc_view.shape[1], scales = scale_view.shape[0];
  Q8_REQUIRE(scales == 1 || scales == channels, "requantize: scale_bits must have the length 1 or ", channels,
             ", found ", scales);
  const QuantizedRange range = make_range(zero_point, qmin, qmax, dtype);
  const std::vector<float> scale = read_scales(scale_view);
  py::array y = new_array(range.dtype, acc_view.shape);
  requantize_kernel(isa_from_name(isa, "requantize"))
      .run({.acc = static_cast<const int32_t*>(acc_view.data),
            .acc_stride = channels,
            .rows = rows,
            .channels = channels,
            .scale = scale.data(),
            .scale_stride = scales == 1 ? 0 : 1,
            .range = range,
            .y = y.mutable_data(),
            .y_stride = channels});
  return y;
}

// The length of an array of parameters: 1 or one for each channel.
void expect_parameters(const TensorView& view, DType dtype, int64_t channels, const char* name) {
  expect(view, dtype, 1, name);
  Q8_REQUIRE(view.shape[0] == 1 || view.shape[0] == channels, "requantize: ", name, " must have the length 1 or ",
             channels, ", found ", view.shape[0]);
}

py::array requantize_multiplier_array(const std::string& isa, const py::array& acc, int32_t rule,
                                      const py::array& multiplier, const py::array& shift, int32_t zero_point,
                                      int32_t qmin, int32_t qmax, const std::string& dtype) {
  const TensorView acc_view = view_array(acc, "requantize: acc");
  const TensorView multiplier_view = view_array(multiplier, "requantize: multiplier");
  const TensorView shift_view = view_array(shift, "requantize: shift");
  expect(acc_view, DType::s32, 2, "acc");
  const int64_t channels = acc_view.shape[1];
  expect_parameters(multiplier_view, DType::s32, channels, "multiplier");
  expect_parameters(shift_view, DType::s32, channels, "shift");
  Q8_REQUIRE(multiplier_view.shape == shift_view.shape, "requantize: multiplier and shift must have one length");
  Q8_REQUIRE(rule >= 1 && rule <= 3, "requantize: rule must be in [1, 3], found ", rule);
  const int32_t* multipliers = static_cast<const int32_t*>(multiplier_view.data);
  const int32_t* shifts = static_cast<const int32_t*>(shift_view.data);
  for (int64_t i = 0; i < shift_view.shape[0]; ++i) {
    Q8_REQUIRE(multipliers[i] >= 0 && shifts[i] >= 1 && shifts[i] <= 62,
               "requantize: multiplier must not be negative and shift in [1, 62], found ", multipliers[i], " and ",
               shifts[i]);
  }
  const QuantizedRange range = make_range(zero_point, qmin, qmax, dtype);
  py::array y = new_array(range.dtype, acc_view.shape);
  requantize_multiplier_kernel(isa_from_name(isa, "requantize"))
      .run({.acc = static_cast<const int32_t*>(acc_view.data),
            .acc_stride = channels,
            .rows = acc_view.shape[0],
            .channels = channels,
            .rule = static_cast<MultiplierRule>(rule),
            .multiplier = multipliers,
            .shift = shifts,
            .parameter_stride = shift_view.shape[0] == 1 ? 0 : 1,
            .range = range,
            .y = y.mutable_data(),
            .y_stride = channels});
  return y;
}

py::array requantize_float64_array(const std::string& isa, const py::array& acc, const py::array& scale_bits,
                                   int32_t zero_point, int32_t qmin, int32_t qmax, const std::string& dtype) {
  const TensorView acc_view = view_array(acc, "requantize: acc");
  const TensorView scale_view = view_array(scale_bits, "requantize: scale64_bits");
  expect(acc_view, DType::s32, 2, "acc");
  const int64_t channels = acc_view.shape[1];
  expect_parameters(scale_view, DType::s64, channels, "scale64_bits");
  std::vector<double> scale;
  for (int64_t i = 0; i < scale_view.shape[0]; ++i) {
    scale.push_back(std::bit_cast<double>(static_cast<const int64_t*>(scale_view.data)[i]));
    Q8_REQUIRE(std::isfinite(scale.back()) && scale.back() > 0.0,
               "requantize: scale64_bits must hold the bits of positive finite float64, found ", scale.back());
  }
  const QuantizedRange range = make_range(zero_point, qmin, qmax, dtype);
  py::array y = new_array(range.dtype, acc_view.shape);
  const DefaultFloatEnvironment environment;
  requantize_float64_kernel(isa_from_name(isa, "requantize"))
      .run({.acc = static_cast<const int32_t*>(acc_view.data),
            .acc_stride = channels,
            .rows = acc_view.shape[0],
            .channels = channels,
            .scale = scale.data(),
            .scale_stride = scale.size() == 1 ? 0 : 1,
            .range = range,
            .y = y.mutable_data(),
            .y_stride = channels});
  return y;
}

}  // namespace

void register_numerics(py::module_& module) {
  module.def("requantize", &requantize_array, py::arg("isa"), py::arg("acc").noconvert(),
             py::arg("scale_bits").noconvert(), py::arg("zero_point"), py::arg("qmin"), py::arg("qmax"),
             py::arg("dtype"), "Accumulators int32[R, C] to quantized values, by the kernel of one ISA.");
  module.def("requantize_multiplier", &requantize_multiplier_array, py::arg("isa"), py::arg("acc").noconvert(),
             py::arg("rule"), py::arg("multiplier").noconvert(), py::arg("shift").noconvert(), py::arg("zero_point"),
             py::arg("qmin"), py::arg("qmax"), py::arg("dtype"),
             "As requantize, by a multiplier and a total right shift; rule as in docs/steps.md.");
  module.def("requantize_float64", &requantize_float64_array, py::arg("isa"), py::arg("acc").noconvert(),
             py::arg("scale64_bits").noconvert(), py::arg("zero_point"), py::arg("qmin"), py::arg("qmax"),
             py::arg("dtype"), "As requantize, by a binary64 factor.");
}

}  // namespace q8
