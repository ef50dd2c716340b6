// SPDX-License-Identifier: Apache-2.0
// build_info, isas, active_isa.
#include <pybind11/stl.h>

#include "base/cpu.h"
#include "bindings/register.h"
#include "kernels/families.h"

namespace py = pybind11;

namespace q8 {
namespace {

std::vector<std::string> names(const std::vector<Isa>& isas) {
  std::vector<std::string> out;
  for (const Isa isa : isas) out.emplace_back(isa_name(isa));
  return out;
}

py::dict build_info() {
  std::vector<std::string> symbols;
  for (const KernelName& kernel : all_kernels()) symbols.push_back(kernel.symbol);
  py::dict info;
  info["version"] = Q8EMU_VERSION;
  info["compiler"] = Q8EMU_COMPILER;
  info["flags"] = Q8EMU_FLAGS;
  info["build_type"] = Q8EMU_BUILD_TYPE;
  info["isas_compiled"] = names(compiled_isas());
  info["isas_supported"] = names(supported_isas());
  info["isa_active"] = isa_name(active_isa());
  info["kernels"] = symbols;
  return info;
}

}  // namespace

void register_build_info(py::module_& module) {
  module.def("build_info", &build_info, "How the core was built, and which kernels it has and runs.");
  module.def(
      "isas", [] { return names(supported_isas()); }, "The ISAs of this build that this CPU supports, best first.");
  module.def(
      "active_isa", [] { return isa_name(active_isa()); },
      "The ISA that Q8EMU_ISA forces, or else the best supported one.");
}

}  // namespace q8
