// SPDX-License-Identifier: Apache-2.0
// Reads the fields of one Step and checks them. Every failure names the step, its kind, what was expected and found.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "numerics/requantize.h"
#include "program/program.h"

namespace q8 {

class StepReader {
 public:
  StepReader(const Program& program, int64_t index);

  const std::string& kind() const { return step_.kind; }
  int64_t index() const { return index_; }

  // Throws "step 3 (conv2d): <parts>".
  template <class... Parts>
  [[noreturn]] void fail(const Parts&... parts) const {
    throw Error(text(place(), parts...));
  }
  template <class... Parts>
  void require(bool condition, const Parts&... parts) const {
    if (!condition) fail(parts...);
  }

  void expect_counts(size_t inputs, size_t outputs) const;
  size_t input_count() const { return step_.inputs.size(); }
  const Buffer& input(size_t i) const { return buffer(step_.inputs[i]); }
  const Buffer& output(size_t i = 0) const { return buffer(step_.outputs[i]); }
  bool input_is_constant(size_t i) const { return program_.constants.contains(step_.inputs[i]); }

  // What a buffer must be; `name` is its name in docs/steps.md.
  void expect_quantized(const Buffer& buffer, const char* name) const;
  void expect_dtype(const Buffer& buffer, DType dtype, const char* name) const;
  void expect_rank(const Buffer& buffer, size_t rank, const char* name) const;
  void expect_shape(const Buffer& buffer, const Shape& shape, const char* name) const;

  // Parameters. Each name that was asked for counts as known.
  bool has(const char* param);
  int64_t integer(const char* param, int64_t low, int64_t high);
  bool flag(const char* param) { return integer(param, 0, 1) == 1; }
  std::vector<int64_t> integers(const char* param, size_t count, int64_t low, int64_t high);
  int32_t zero_point(const char* param, DType dtype);
  float finite_f32(const char* param);    // any finite value, from its bits
  float positive_f32(const char* param);  // positive and finite
  QuantizedRange range(DType dtype);      // y_zero_point, qmin, qmax
  QuantizedRange bounds(DType dtype);     // qmin, qmax, and a zero_point of 0

  // Arrays.
  bool has_array(const char* name);
  const Array& array(const char* name, DType dtype);
  std::vector<int64_t> int64_array(const char* name, std::initializer_list<int64_t> lengths);
  std::vector<int32_t> int32_array(const char* name, std::initializer_list<int64_t> lengths);
  std::vector<float> finite_f32_array(const char* name, std::initializer_list<int64_t> lengths);
  std::vector<float> positive_f32_array(const char* name, std::initializer_list<int64_t> lengths);
  std::vector<int32_t> zero_point_array(const char* name, std::initializer_list<int64_t> lengths, DType dtype);

  // To be called last: a parameter or array that nobody asked for is an error.
  void finish() const;

 private:
  std::string place() const;
  const Buffer& buffer(int64_t number) const { return program_.buffers[static_cast<size_t>(number)]; }
  const Param& param(const char* name);
  float check_positive(uint32_t bits, const char* name) const;
  void expect_length(const Array& array, const char* name, std::initializer_list<int64_t> lengths) const;

  const Program& program_;
  int64_t index_;
  const Step& step_;
  std::set<std::string, std::less<>> known_params_;
  std::set<std::string, std::less<>> known_arrays_;
};

// The elements of an array of this type.
template <class T>
std::vector<T> elements(const Array& array);

}  // namespace q8
