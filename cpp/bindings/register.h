// SPDX-License-Identifier: Apache-2.0
// What each register_*.cpp adds to the module.
#pragma once

#include <pybind11/pybind11.h>

namespace q8 {

void register_build_info(pybind11::module_& module);  // build_info, isas, active_isa
void register_executor(pybind11::module_& module);    // Executor
void register_numerics(pybind11::module_& module);    // requantize

}  // namespace q8
