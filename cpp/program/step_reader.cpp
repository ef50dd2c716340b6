// SPDX-License-Identifier: Apache-2.0
// Reads the fields of one Step and checks them.
#include "program/step_reader.h"

#include <cmath>
#include <cstring>

#include "base/f32.h"

namespace q8 {
namespace {

// "1 or 16"
std::string alternatives(std::initializer_list<int64_t> lengths) {
  std::string out;
  for (const int64_t length : lengths) out += (out.empty() ? "" : " or ") + std::to_string(length);
  return out;
}

template <class Map>
std::string key_list(const Map& names) {
  std::string out;
  for (const auto& name : names) out += (out.empty() ? "" : ", ") + std::string(name);
  return out.empty() ? "none" : out;
}

}  // namespace

template <class T>
std::vector<T> elements(const Array& array) {
  std::vector<T> values(array.bytes.size() / sizeof(T));
  if (!values.empty()) std::memcpy(values.data(), array.bytes.data(), array.bytes.size());
  return values;
}
template std::vector<int32_t> elements(const Array&);
template std::vector<uint32_t> elements(const Array&);
template std::vector<int64_t> elements(const Array&);
template std::vector<uint8_t> elements(const Array&);

StepReader::StepReader(const Program& program, int64_t index)
    : program_(program), index_(index), step_(program.steps[static_cast<size_t>(index)]) {}

std::string StepReader::place() const { return text("step ", index_, " (", step_.kind, "): "); }

void StepReader::expect_counts(size_t inputs, size_t outputs) const {
  require(step_.inputs.size() == inputs, "expected ", inputs, " inputs, found ", step_.inputs.size());
  require(step_.outputs.size() == outputs, "expected ", outputs, " outputs, found ", step_.outputs.size());
}

void StepReader::expect_quantized(const Buffer& buffer, const char* name) const {
  require(is_quantized(buffer.dtype), name, " must be int8 or uint8, found ", dtype_name(buffer.dtype));
}

void StepReader::expect_dtype(const Buffer& buffer, DType dtype, const char* name) const {
  require(buffer.dtype == dtype, name, " must be ", dtype_name(dtype), ", found ", dtype_name(buffer.dtype));
}

void StepReader::expect_rank(const Buffer& buffer, size_t rank, const char* name) const {
  require(buffer.shape.size() == rank, name, " must have ", rank, " dimensions, found ", to_string(buffer.shape));
}

void StepReader::expect_shape(const Buffer& buffer, const Shape& shape, const char* name) const {
  require(buffer.shape == shape, name, " must have the shape ", to_string(shape), ", found ", to_string(buffer.shape));
}

const Param& StepReader::param(const char* name) {
  known_params_.insert(name);
  const auto found = step_.params.find(name);
  require(found != step_.params.end(), "the parameter ", name, " is missing");
  return found->second;
}

bool StepReader::has(const char* param) {
  known_params_.insert(param);
  return step_.params.contains(param);
}

int64_t StepReader::integer(const char* name, int64_t low, int64_t high) {
  const int64_t* value = std::get_if<int64_t>(&param(name));
  require(value != nullptr, name, " must be one integer, found a tuple");
  require(*value >= low && *value <= high, name, " must be in [", low, ", ", high, "], found ", *value);
  return *value;
}

std::vector<int64_t> StepReader::integers(const char* name, size_t count, int64_t low, int64_t high) {
  const auto* values = std::get_if<std::vector<int64_t>>(&param(name));
  require(values != nullptr, name, " must be a tuple of ", count, " integers, found one integer");
  require(values->size() == count, name, " must be a tuple of ", count, " integers, found ", values->size());
  for (const int64_t value : *values) {
    require(value >= low && value <= high, name, " must hold values in [", low, ", ", high, "], found ", value);
  }
  return *values;
}

int32_t StepReader::zero_point(const char* param, DType dtype) {
  return static_cast<int32_t>(integer(param, dtype_min(dtype), dtype_max(dtype)));
}

float StepReader::finite_f32(const char* param) {
  const float value = f32_from_bits(static_cast<uint32_t>(integer(param, 0, UINT32_MAX)));
  require(std::isfinite(value), param, " must be the bits of a finite float32, found ", value);
  return value;
}

float StepReader::check_positive(uint32_t bits, const char* name) const {
  const float value = f32_from_bits(bits);
  require(std::isfinite(value) && value > 0.0f, name, " must be the bits of a positive finite float32, found ", value);
  return value;
}

float StepReader::positive_f32(const char* param) {
  return check_positive(static_cast<uint32_t>(integer(param, 0, UINT32_MAX)), param);
}

QuantizedRange StepReader::range(DType dtype) {
  QuantizedRange range = bounds(dtype);
  range.zero_point = zero_point("y_zero_point", dtype);
  return range;
}

QuantizedRange StepReader::bounds(DType dtype) {
  const int32_t qmin = zero_point("qmin", dtype);
  const int32_t qmax = zero_point("qmax", dtype);
  require(qmin <= qmax, "qmin must not exceed qmax, found ", qmin, " and ", qmax);
  return {.zero_point = 0, .qmin = qmin, .qmax = qmax, .dtype = dtype};
}

bool StepReader::has_array(const char* name) {
  known_arrays_.insert(name);
  return step_.arrays.contains(name);
}

const Array& StepReader::array(const char* name, DType dtype) {
  require(has_array(name), "the array ", name, " is missing");
  const Array& array = step_.arrays.find(name)->second;
  require(array.dtype == dtype, "the array ", name, " must be ", dtype_name(dtype), ", found ",
          dtype_name(array.dtype));
  return array;
}

void StepReader::expect_length(const Array& array, const char* name, std::initializer_list<int64_t> lengths) const {
  bool legal = false;
  for (const int64_t length : lengths) legal = legal || array.shape == Shape{length};
  require(legal, "the array ", name, " must have the length ", alternatives(lengths), ", found the shape ",
          to_string(array.shape));
}

std::vector<int64_t> StepReader::int64_array(const char* name, std::initializer_list<int64_t> lengths) {
  const Array& found = array(name, DType::s64);
  expect_length(found, name, lengths);
  return elements<int64_t>(found);
}

std::vector<int32_t> StepReader::int32_array(const char* name, std::initializer_list<int64_t> lengths) {
  const Array& found = array(name, DType::s32);
  expect_length(found, name, lengths);
  return elements<int32_t>(found);
}

std::vector<float> StepReader::positive_f32_array(const char* name, std::initializer_list<int64_t> lengths) {
  const Array& found = array(name, DType::u32);
  expect_length(found, name, lengths);
  std::vector<float> values;
  for (const uint32_t bits : elements<uint32_t>(found)) values.push_back(check_positive(bits, name));
  return values;
}

std::vector<float> StepReader::finite_f32_array(const char* name, std::initializer_list<int64_t> lengths) {
  const Array& found = array(name, DType::u32);
  expect_length(found, name, lengths);
  std::vector<float> values;
  for (const uint32_t bits : elements<uint32_t>(found)) {
    values.push_back(f32_from_bits(bits));
    require(std::isfinite(values.back()), name, " must be the bits of finite float32, found ", values.back());
  }
  return values;
}

std::vector<int32_t> StepReader::zero_point_array(const char* name, std::initializer_list<int64_t> lengths,
                                                  DType dtype) {
  std::vector<int32_t> values = int32_array(name, lengths);
  for (const int32_t value : values) {
    require(value >= dtype_min(dtype) && value <= dtype_max(dtype), "the array ", name, " must hold zero points of ",
            dtype_name(dtype), ", found ", value);
  }
  return values;
}

void StepReader::finish() const {
  for (const auto& [name, value] : step_.params) {
    require(known_params_.contains(name), "unknown parameter ", name, "; known: ", key_list(known_params_));
  }
  for (const auto& [name, value] : step_.arrays) {
    require(known_arrays_.contains(name), "unknown array ", name, "; known: ", key_list(known_arrays_));
  }
}

}  // namespace q8
