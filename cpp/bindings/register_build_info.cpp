// SPDX-License-Identifier: Apache-2.0
// build_info, isas, active_isa, peak_gmacs.
#include <pybind11/stl.h>

#include <algorithm>
#include <chrono>

#include "base/cpu.h"
#include "base/error.h"
#include "bindings/register.h"
#include "kernels/families.h"
#include "kernels/peak/peak.h"
#include "numerics/wrap.h"

namespace py = pybind11;

namespace q8 {
namespace {

std::vector<std::string> names(const std::vector<Isa>& isas) {
  std::vector<std::string> out;
  for (const Isa isa : isas) out.emplace_back(isa_name(isa));
  return out;
}

std::vector<Isa> emulated_isas() {
  std::vector<Isa> isas = compiled_isas();
  std::erase_if(isas, [](Isa isa) { return !is_emulated(isa); });
  return isas;
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
  info["isas_emulated"] = names(emulated_isas());
  info["isa_active"] = isa_name(active_isa());
  info["kernels"] = symbols;
  return info;
}

// Of several runs of about a millisecond the fastest: the others shared the core.
double peak_gmacs(const std::string& isa, double seconds) {
  Q8_REQUIRE(seconds > 0.0 && seconds <= 60.0, "peak_gmacs: seconds must be in (0, 60], found ", seconds);
  const PeakKernel& kernel = peak_kernel(isa_from_name(isa, "peak_gmacs"));
  using Clock = std::chrono::steady_clock;
  constexpr int64_t rounds = 4096;
  constexpr int64_t macs = rounds * macs_per_round;
  const py::gil_scoped_release release;
  double best = 0.0;
  const Clock::time_point begin = Clock::now();
  for (double elapsed = 0.0; elapsed < seconds;) {
    int32_t sum = 0;
    const Clock::time_point start = Clock::now();
    kernel.run({.rounds = rounds, .sum = &sum});
    const Clock::time_point end = Clock::now();
    Q8_REQUIRE(sum == wrap(macs), "peak_gmacs: ", kernel.symbol, " did ", sum, " multiply-accumulates, not ", macs);
    best = std::max(best, static_cast<double>(macs) / std::chrono::duration<double>(end - start).count() * 1e-9);
    elapsed = std::chrono::duration<double>(end - begin).count();
  }
  return best;
}

}  // namespace

void register_build_info(py::module_& module) {
  module.def("build_info", &build_info, "How the core was built, and which kernels it has and runs.");
  module.def(
      "isas", [] { return names(supported_isas()); }, "The ISAs of this build that this CPU supports, best first.");
  module.def(
      "active_isa", [] { return isa_name(active_isa()); },
      "The ISA that Q8EMU_ISA forces, or else the best supported one that is not emulated.");
  module.def("peak_gmacs", &peak_gmacs, py::arg("isa"), py::arg("seconds") = 0.1,
             "Multiply-accumulates per second of one core by the multiply-add instruction of an ISA, in 10^9.");
}

}  // namespace q8
