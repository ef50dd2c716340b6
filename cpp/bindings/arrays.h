// SPDX-License-Identifier: Apache-2.0
// Between NumPy arrays and ours. Nothing is converted: another dtype or another layout is an error.
#pragma once

#include <pybind11/numpy.h>

#include <string>

#include "base/tensor.h"
#include "program/program.h"

namespace q8 {

// A view of a C-contiguous array; `what` begins the sentence of an error.
TensorView view_array(const pybind11::handle& object, const std::string& what);

// A copy of it.
Array copy_array(const pybind11::handle& object, const std::string& what);

// A new array.
pybind11::array new_array(DType dtype, const Shape& shape);

// The dtype with this NumPy name.
DType dtype_from_name(const std::string& name, const std::string& what);

}  // namespace q8
