// SPDX-License-Identifier: Apache-2.0
// The only file that asks the CPU.
#include "base/isa.h"

#include <algorithm>
#include <cstdlib>

#include "base/cpu.h"
#include "base/error.h"

#if Q8EMU_AARCH64 && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace q8 {
namespace {

constexpr Isa all_isas[] = {Isa::dotprod, Isa::avx512vnni, Isa::avxvnni, Isa::avx2, Isa::reference};

bool has_dotprod() {
#if Q8EMU_AARCH64 && defined(__linux__)
  return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
#elif Q8EMU_AARCH64 && defined(__APPLE__)
  return true;  // every CPU that macOS runs on
#else
  return false;
#endif
}

bool is_supported(Isa isa) {
#if Q8EMU_X86_64
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512vnni = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                          __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                          __builtin_cpu_supports("avx512vnni");
  switch (isa) {
    case Isa::avx2:
      return avx2;
    case Isa::avxvnni:
      return avx2 && (is_emulated(isa) || __builtin_cpu_supports("avxvnni"));
    case Isa::avx512vnni:
      return is_emulated(isa) ? avx2 : avx512vnni;
    case Isa::reference:
      return true;
    case Isa::dotprod:
      break;
  }
#endif
  return isa == Isa::reference || (isa == Isa::dotprod && has_dotprod());
}

std::string join_names(const std::vector<Isa>& isas) {
  std::string out;
  for (const Isa isa : isas) out += (out.empty() ? "" : ", ") + std::string(isa_name(isa));
  return out;
}

}  // namespace

const char* isa_name(Isa isa) {
  switch (isa) {
    case Isa::dotprod:
      return "dotprod";
    case Isa::avx512vnni:
      return "avx512vnni";
    case Isa::avxvnni:
      return "avxvnni";
    case Isa::avx2:
      return "avx2";
    case Isa::reference:
      break;
  }
  return "reference";
}

std::vector<Isa> compiled_isas() {
  std::vector<Isa> isas{std::begin(all_isas), std::end(all_isas)};
  std::erase_if(isas, [](Isa isa) {
    if (isa == Isa::dotprod) return !Q8EMU_AARCH64;
    return isa != Isa::reference && !Q8EMU_X86_64;
  });
  return isas;
}

bool is_emulated(Isa isa) { return Q8EMU_EMULATE_VNNI != 0 && (isa == Isa::avxvnni || isa == Isa::avx512vnni); }

std::vector<Isa> supported_isas() {
  std::vector<Isa> isas = compiled_isas();
  std::erase_if(isas, [](Isa isa) { return !is_supported(isa); });
  return isas;
}

Isa isa_from_name(std::string_view name, std::string_view asked_by) {
  const std::vector<Isa> supported = supported_isas();
  const auto has_name = [name](Isa isa) { return name == isa_name(isa); };
  const auto found = std::find_if(supported.begin(), supported.end(), has_name);
  if (found != supported.end()) return *found;
  const bool known = std::any_of(std::begin(all_isas), std::end(all_isas), has_name);
  throw Error(text(asked_by, " asks for the ISA '", name, "', which is ",
                   known ? "not supported on this CPU or not in this build" : "unknown",
                   "; supported: ", join_names(supported)));
}

Isa active_isa() {
  const char* forced = std::getenv("Q8EMU_ISA");
  if (forced != nullptr) return isa_from_name(forced, "the environment variable Q8EMU_ISA");
  const std::vector<Isa> supported = supported_isas();
  return *std::find_if_not(supported.begin(), supported.end(), is_emulated);
}

}  // namespace q8
