// SPDX-License-Identifier: Apache-2.0
// The element types. Functions have internal linkage: this header is part of the contract of every kernel.
#pragma once

#include <cstddef>
#include <cstdint>

namespace q8 {

enum class DType : uint8_t { s8, u8, s32, f32, s64, u32 };  // s64 and u32 occur in the arrays of a step only

static inline size_t dtype_bytes(DType dtype) {
  switch (dtype) {
    case DType::s8:
    case DType::u8:
      return 1;
    case DType::s64:
      return 8;
    default:
      return 4;
  }
}

// The name that NumPy uses.
static inline const char* dtype_name(DType dtype) {
  constexpr const char* names[] = {"int8", "uint8", "int32", "float32", "int64", "uint32"};
  return names[static_cast<int>(dtype)];
}

// Quantized values are int8 or uint8.
static inline bool is_quantized(DType dtype) { return dtype == DType::s8 || dtype == DType::u8; }

// Least and greatest value of a quantized dtype.
static inline int32_t dtype_min(DType dtype) { return dtype == DType::s8 ? -128 : 0; }
static inline int32_t dtype_max(DType dtype) { return dtype == DType::s8 ? 127 : 255; }

}  // namespace q8
