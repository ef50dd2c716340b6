// SPDX-License-Identifier: Apache-2.0
// From a DType at run time to a type at compile time. For reference kernels and steps, not for ISA files.
#pragma once

#include <cstdint>

#include "base/dtype.h"

namespace q8 {

// Calls function(T{}) with T = int8_t or uint8_t.
template <class Function>
void with_quantized_type(DType dtype, const Function& function) {
  if (dtype == DType::s8) {
    function(int8_t{});
  } else {
    function(uint8_t{});
  }
}

}  // namespace q8
