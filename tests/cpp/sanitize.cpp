// SPDX-License-Identifier: Apache-2.0
// Random Programs of every step kind: all ISAs, numbers of threads and numbers of runs in one call give the bits of the
// reference kernels, a missing or unknown field is refused, and so is a damaged Program unless it too means something.
// Meant to run under the sanitizers: the executor then poisons what lies between the buffers. Digests of the reference
// results are printed, to compare processors. Usage: q8emu_sanitize [first seed] [Programs of each kind]
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "base/cpu.h"
#include "base/error.h"
#include "program/executor.h"
#include "run_program.h"

namespace {

using namespace q8;

constexpr const char* kinds[] = {
#define Q8_STEP(kind) #kind,
#include "program/steps.inc"
#undef Q8_STEP
};

struct Counts {
  int64_t passed = 0;
  int64_t failed = 0;
  int64_t refused = 0;  // of the damaged Programs
  Digest digest;        // of what the reference kernels give for the Programs of one kind

  void add(bool holds, const char* what, const char* kind, uint64_t seed, const char* isa, int64_t threads) {
    (holds ? passed : failed) += 1;
    if (!holds)
      std::printf("%s: %s, seed %llu, %s, %lld threads\n", what, kind, static_cast<unsigned long long>(seed), isa,
                  static_cast<long long>(threads));
  }
};

bool is_refused(const Program& program) {
  try {
    Executor executor(program, options_for(program, Isa::reference, 1));
  } catch (const Error&) {
    return true;
  }
  return false;
}

// The fields that a step may do without, those of its requantization apart.
const std::map<std::string, std::set<std::string>> optional_fields{
    {"average_pool", {"form"}},
    {"average_pool_raw", {"division", "x_zero_point"}},
    {"average_pool_scaled", {"inside_from"}},
    {"conv2d", {"bias", "saturates_pairs"}},
    {"depthwise_conv2d", {"bias"}},
    {"dequantize", {"affine"}},
    {"float_binary", {"rounding"}},
    {"matmul", {"bias", "saturates_pairs"}},
    {"mul_ratio", {"fused"}},
    {"quantize", {"rounding"}},
};

bool is_optional(const Step& step, const std::string& name) {
  if (name == "bias_bits" || name == "double_rounding_from") return true;
  // Rule 6 without a bias has the arrays of rule 0, which is the one of a step that names none.
  if (name == "requantize") return step.arrays.contains("scale_bits") && !step.arrays.contains("bias_bits");
  const auto found = optional_fields.find(step.kind);
  return found != optional_fields.end() && found->second.contains(name);
}

void check_refusals(const RandomProgram& random, const char* kind, uint64_t seed, Counts& counts) {
  const Step& step = random.program.steps[0];
  const auto expect = [&](const Program& without, const std::string& name, const char* what) {
    const bool optional = is_optional(step, name);
    const std::string found = text(what, name, optional ? " is refused" : " is not refused");
    counts.add(is_refused(without) != optional, found.c_str(), kind, seed, "reference", 1);
  };
  for (const auto& [name, value] : step.params) {
    Program program = random.program;
    program.steps[0].params.erase(name);
    expect(program, name, "a Program without the parameter ");
  }
  for (const auto& [name, value] : step.arrays) {
    Program program = random.program;
    program.steps[0].arrays.erase(name);
    expect(program, name, "a Program without the array ");
  }
  Program program = random.program;
  program.steps[0].params.emplace("no_such_parameter", int64_t{1});
  counts.add(is_refused(program), "an unknown parameter is not refused", kind, seed, "reference", 1);
}

// What no field of a sensible Program holds, and bit patterns of float32 that are infinite, no number, the least.
constexpr int64_t damages[] = {-1,         0,          1,         2,         255,        0x7f7fffff,
                               0x7f800000, 0x7fc00000, INT32_MAX, INT32_MIN, UINT32_MAX, int64_t{1} << 31,
                               INT64_MIN,  INT64_MAX};

// Changes one number of a parameter, of an array or of the shape of the first output.
void damage(Program& program, std::mt19937_64& source) {
  Step& step = program.steps[0];
  const auto below = [&](size_t count) { return static_cast<size_t>(source() % count); };
  const int64_t value = damages[below(std::size(damages))];
  const size_t field = below(step.params.size() + step.arrays.size() + 1);
  if (field < step.params.size()) {
    Param& param = std::next(step.params.begin(), static_cast<std::ptrdiff_t>(field))->second;
    if (auto* values = std::get_if<std::vector<int64_t>>(&param)) {
      if (!values->empty()) (*values)[below(values->size())] = value;
    } else {
      param = value;
    }
  } else if (field < step.params.size() + step.arrays.size()) {
    Array& array = std::next(step.arrays.begin(), static_cast<std::ptrdiff_t>(field - step.params.size()))->second;
    const size_t bytes = dtype_bytes(array.dtype);
    std::memcpy(array.bytes.data() + below(array.bytes.size() / bytes) * bytes, &value, bytes);
  } else if (Shape& shape = program.buffers[static_cast<size_t>(step.outputs[0])].shape; !shape.empty()) {
    shape[below(shape.size())] += below(2) == 0 ? 1 : -1;
  }
}

// A damaged Program is refused, or it means something: then all ISAs give the same bits.
void check_damaged(const RandomProgram& random, const char* kind, uint64_t seed, Counts& counts) {
  std::mt19937_64 source(seed);
  for (int i = 0; i < 10; ++i) {
    RandomProgram damaged = random;
    damage(damaged.program, source);
    if (is_refused(damaged.program)) {
      counts.refused += 1;
      continue;
    }
    const std::vector<std::byte> expected = results_of(damaged, Isa::reference, 1);
    add_results(damaged.program, expected, counts.digest);
    for (const Isa isa : supported_isas()) {
      counts.add(results_of(damaged, isa, 2) == expected, "damaged, differs from the reference", kind, seed,
                 isa_name(isa), 2);
    }
  }
}

void check_program(const char* kind, uint64_t seed, Counts& counts) {
  const RandomProgram random = random_program(kind, seed);
  const std::vector<std::byte> expected = results_of(random, Isa::reference, 1);
  add_results(random.program, expected, counts.digest);
  for (const Isa isa : supported_isas()) {
    for (const int64_t threads : {1, 3, 6}) {  // six threads share each of five runs
      counts.add(!expected.empty() && results_of(random, isa, threads) == expected, "differs from the reference", kind,
                 seed, isa_name(isa), threads);
    }
  }
  check_refusals(random, kind, seed, counts);
  check_damaged(random, kind, seed, counts);
}

}  // namespace

int main(int argc, char** argv) {
  const uint64_t first = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1;
  const uint64_t programs = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 40;
  Counts counts;
  for (const char* kind : kinds) {
    counts.digest = {};
    for (uint64_t seed = first; seed < first + programs; ++seed) {
      try {
        check_program(kind, seed, counts);
      } catch (const Error& error) {
        std::printf("%s\n", error.what());
        counts.add(false, "a legal Program is refused", kind, seed, "any ISA", 1);
      }
      const uint64_t done = seed - first + 1;
      if (done % 10 == 0) counts.digest.print(text(kind, " from seed ", first, ", ", done, " Programs").c_str());
    }
  }
  std::printf("seeds %llu to %llu of %zu step kinds: %lld passed, %lld failed; %lld damaged refused\n",
              static_cast<unsigned long long>(first), static_cast<unsigned long long>(first + programs - 1),
              std::size(kinds), static_cast<long long>(counts.passed), static_cast<long long>(counts.failed),
              static_cast<long long>(counts.refused));
  return counts.failed == 0 ? 0 : 1;
}
