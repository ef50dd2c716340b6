// SPDX-License-Identifier: Apache-2.0
// The extension module q8emu._core: a table of contents.
#include <pybind11/pybind11.h>

#include "base/error.h"
#include "bindings/register.h"

PYBIND11_MODULE(_core, module) {
  module.doc() = "The C++ core of q8emu: kernels, and the executor of Programs.";
  pybind11::register_exception<q8::Error>(module, "Error", PyExc_RuntimeError);
  q8::register_build_info(module);
  q8::register_numerics(module);
  q8::register_executor(module);
}
