// SPDX-License-Identifier: Apache-2.0
// Which ISAs this build and this CPU have, and which one is active.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/isa.h"

namespace q8 {

const char* isa_name(Isa isa);

// ISAs in this build, best first; reference is the last.
std::vector<Isa> compiled_isas();

// Those whose kernels this build compiles to code of a lower ISA, for tests: they run only where they are asked for.
bool is_emulated(Isa isa);

// Those of the build that run on this CPU, best first.
std::vector<Isa> supported_isas();

// The supported ISA with this name; throws and lists the supported ones when there is none.
Isa isa_from_name(std::string_view name, std::string_view asked_by);

// The ISA that the environment variable Q8EMU_ISA forces, or else the best supported one that is not emulated.
Isa active_isa();

}  // namespace q8
