// SPDX-License-Identifier: Apache-2.0
// A Program of one step under construction, with random content.
#pragma once

#include <bit>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "random_program.h"

namespace q8 {

class ProgramBuilder {
 public:
  ProgramBuilder(const std::string& kind, uint64_t seed) : random_(seed) { step_.kind = kind; }

  // Random choices.
  int64_t between(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(random_() % static_cast<uint64_t>(high - low + 1));
  }
  int64_t pick(const std::vector<int64_t>& values) {
    return values[static_cast<size_t>(between(0, static_cast<int64_t>(values.size()) - 1))];
  }
  bool chance(int64_t percent) { return between(1, 100) <= percent; }
  DType quantized() { return chance(50) ? DType::s8 : DType::u8; }
  DType any_dtype() { return static_cast<DType>(between(0, 3)); }
  int64_t zero_point(DType dtype) {
    return chance(30) ? pick({dtype_min(dtype), dtype_max(dtype)}) : between(dtype_min(dtype), dtype_max(dtype));
  }
  // Of this magnitude, at times as small or large as a float32 can be.
  float scale(float magnitude) {
    using Limits = std::numeric_limits<float>;
    if (chance(4)) return chance(50) ? Limits::denorm_min() : Limits::max();
    return magnitude * (0.5f + static_cast<float>(between(0, 1000)) / 1000.0f);
  }
  Shape shape(int64_t least_rank, int64_t most_rank) {
    Shape out;
    for (int64_t i = between(least_rank, most_rank); i > 0; --i) out.push_back(pick({1, 1, 2, 3, 5, 9}));
    return out;
  }

  // Buffers; inputs get random content.
  void input(DType dtype, const Shape& shape, bool constant = false) {
    const int64_t number = buffer(dtype, shape);
    step_.inputs.push_back(number);
    (constant ? out_.program.constants : out_.inputs).emplace(number, random_array(dtype, shape));
  }
  void filled_input(DType dtype, const Shape& shape, uint8_t value, bool constant) {
    const int64_t number = buffer(dtype, shape);
    step_.inputs.push_back(number);
    const size_t bytes = static_cast<size_t>(element_count(shape)) * dtype_bytes(dtype);
    const Array array{.dtype = dtype, .shape = shape, .bytes = std::vector<std::byte>(bytes, std::byte{value})};
    (constant ? out_.program.constants : out_.inputs).emplace(number, array);
  }
  void output(DType dtype, const Shape& shape) { step_.outputs.push_back(buffer(dtype, shape)); }

  // Fields.
  void set(const std::string& name, int64_t value) { step_.params.emplace(name, value); }
  void set(const std::string& name, std::vector<int64_t> values) { step_.params.emplace(name, std::move(values)); }
  void set_f32(const std::string& name, float value) { set(name, std::bit_cast<uint32_t>(value)); }
  void set_bounds(DType dtype) {
    const int64_t a = zero_point(dtype), b = zero_point(dtype);
    set("qmin", std::min(a, b));
    set("qmax", std::max(a, b));
  }
  void set_range(DType dtype) {
    set_bounds(dtype);
    set("y_zero_point", zero_point(dtype));
  }
  template <class T>
  void array(const std::string& name, DType dtype, const std::vector<T>& values, const Shape& shape) {
    Array out{.dtype = dtype, .shape = shape, .bytes = std::vector<std::byte>(values.size() * sizeof(T))};
    std::memcpy(out.bytes.data(), values.data(), out.bytes.size());
    step_.arrays.emplace(name, std::move(out));
  }
  void int32_array(const std::string& name, int64_t low, int64_t high, const Shape& shape) {
    std::vector<int32_t> values;
    for (int64_t i = element_count(shape); i > 0; --i) values.push_back(static_cast<int32_t>(between(low, high)));
    array(name, DType::s32, values, shape);
  }
  void scale_array(const std::string& name, float magnitude, int64_t length) {
    std::vector<uint32_t> values;
    for (int64_t i = 0; i < length; ++i) values.push_back(std::bit_cast<uint32_t>(scale(magnitude)));
    array(name, DType::u32, values, {length});
  }

  RandomProgram finish() {
    out_.program.steps.push_back(step_);
    return std::move(out_);
  }

 private:
  int64_t buffer(DType dtype, const Shape& shape) {
    out_.program.buffers.push_back({dtype, shape});
    return static_cast<int64_t>(out_.program.buffers.size()) - 1;
  }

  // Bytes of any value, often only the extreme ones; floats in [-8, 8], and some that no integer is near to.
  Array random_array(DType dtype, const Shape& shape) {
    const size_t count = static_cast<size_t>(element_count(shape));
    Array out{.dtype = dtype, .shape = shape, .bytes = std::vector<std::byte>(count * dtype_bytes(dtype))};
    const bool extreme = is_quantized(dtype) && chance(30);
    for (std::byte& byte : out.bytes) {
      byte = static_cast<std::byte>(extreme ? zero_or_all(dtype) : between(0, 255));
    }
    if (dtype == DType::f32) {
      for (size_t i = 0; i < count; ++i) {
        const float value = chance(3) ? special() : static_cast<float>(between(-8000, 8000)) / 1000.0f;
        std::memcpy(out.bytes.data() + 4 * i, &value, 4);
      }
    }
    return out;
  }
  float special() {
    using Limits = std::numeric_limits<float>;
    const float values[] = {Limits::quiet_NaN(), Limits::infinity(), Limits::max(), 2147483648.0f, -0.0f};
    const float value = values[between(0, 4)];
    return chance(50) ? value : -value;
  }
  int64_t zero_or_all(DType dtype) { return (chance(50) ? dtype_min(dtype) : dtype_max(dtype)) & 0xFF; }

  std::mt19937_64 random_;
  RandomProgram out_;
  Step step_;
};

}  // namespace q8
