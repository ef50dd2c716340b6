// SPDX-License-Identifier: Apache-2.0
// A Program as plain data: steps over numbered buffers. The meaning of every step kind is in docs/steps.md.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "base/dtype.h"
#include "base/tensor.h"

namespace q8 {

struct Buffer {
  DType dtype;  // s8, u8, s32 or f32
  Shape shape;
};

// A C-contiguous array that owns its bytes.
struct Array {
  DType dtype;
  Shape shape;
  std::vector<std::byte> bytes;
};

using Param = std::variant<int64_t, std::vector<int64_t>>;

struct Step {
  std::string kind;
  std::vector<int64_t> inputs;   // buffer numbers
  std::vector<int64_t> outputs;  // buffer numbers
  std::map<std::string, Param> params;
  std::map<std::string, Array> arrays;
};

struct Program {
  std::vector<Buffer> buffers;
  std::map<int64_t, Array> constants;  // by buffer number
  std::vector<Step> steps;
};

// A step of this kind is not run by the core: the caller computes its outputs.
inline bool is_host(const Step& step) { return step.kind == "host"; }

}  // namespace q8
