// SPDX-License-Identifier: Apache-2.0
// Random Programs of every step kind: all ISAs and numbers of threads give the bits of the reference kernels, and a
// missing or unknown field is refused. Meant to run under the sanitizers: the executor then poisons what lies between
// the buffers. Usage: q8emu_sanitize [first seed] [Programs of each kind]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <string_view>
#include <vector>

#include "base/cpu.h"
#include "base/error.h"
#include "program/executor.h"
#include "random_program.h"

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

  void add(bool holds, const char* what, const char* kind, uint64_t seed, const char* isa, int64_t threads) {
    (holds ? passed : failed) += 1;
    if (!holds)
      std::printf("%s: %s, seed %llu, %s, %lld threads\n", what, kind, static_cast<unsigned long long>(seed), isa,
                  static_cast<long long>(threads));
  }
};

ExecutorOptions options_for(const Program& program, Isa isa, int64_t threads) {
  static const std::set<std::string> with_accumulators{"conv2d", "depthwise_conv2d", "matmul", "mean"};
  ExecutorOptions options{.isa = isa,
                          .threads = threads,
                          .keep = program.steps[0].outputs,
                          .keep_accumulators = {},
                          .memory_limit = uint64_t{1} << 30};
  if (with_accumulators.contains(program.steps[0].kind)) options.keep_accumulators.push_back(0);
  return options;
}

std::vector<std::byte> read_all(const Executor& executor, const Program& program, const ExecutorOptions& options) {
  std::vector<std::byte> out;
  const auto append = [&out](size_t bytes) {
    out.resize(out.size() + bytes);
    return out.data() + out.size() - bytes;
  };
  for (const int64_t number : program.steps[0].outputs) {
    const Buffer& buffer = executor.buffer(number);
    executor.read(number, append(static_cast<size_t>(element_count(buffer.shape)) * dtype_bytes(buffer.dtype)));
  }
  for (const int64_t step : options.keep_accumulators) {
    executor.read_accumulators(step, append(static_cast<size_t>(element_count(executor.accumulator_shape(step))) * 4));
  }
  return out;
}

// The outputs and the accumulators of the second of two runs.
std::vector<std::byte> run(const RandomProgram& random, Isa isa, int64_t threads) {
  const ExecutorOptions options = options_for(random.program, isa, threads);
  Executor executor(random.program, options);
  for (const auto& [number, array] : random.inputs) {
    std::vector<std::byte> bytes = array.bytes;
    executor.write(number, {.dtype = array.dtype, .shape = array.shape, .data = bytes.data()});
  }
  executor.run(0, 1);
  executor.run(0, 1);
  return read_all(executor, random.program, options);
}

bool is_refused(const Program& program) {
  try {
    Executor executor(program, options_for(program, Isa::reference, 1));
  } catch (const Error&) {
    return true;
  }
  return false;
}

// What a step may leave out, as docs/steps.md says.
bool is_optional(const Step& step, std::string_view name) {
  constexpr std::string_view always[] = {"affine",      "division", "double_rounding_from", "form", "fused",
                                         "inside_from", "rounding", "saturates_pairs"};
  if (name == "x_zero_point") return step.kind == "average_pool_raw";
  if (name == "requantize") return step.arrays.contains("scale_bits");  // rule 0 without it, with the same array
  return std::find(std::begin(always), std::end(always), name) != std::end(always);
}

void check_refusals(const RandomProgram& random, const char* kind, uint64_t seed, Counts& counts) {
  const Step& step = random.program.steps[0];
  for (const auto& [name, value] : step.params) {
    Program program = random.program;
    program.steps[0].params.erase(name);
    const bool fits = is_optional(step, name) || is_refused(program);
    counts.add(fits, "a missing parameter is not refused", kind, seed, name.c_str(), 1);
  }
  for (const auto& [name, value] : step.arrays) {
    Program program = random.program;
    program.steps[0].arrays.erase(name);
    const bool fits = name == "bias" || name == "bias_bits" || is_refused(program);
    counts.add(fits, "a missing array is not refused", kind, seed, name.c_str(), 1);
  }
  Program program = random.program;
  program.steps[0].params.emplace("no_such_parameter", int64_t{1});
  counts.add(is_refused(program), "an unknown parameter is not refused", kind, seed, "reference", 1);
}

void check_program(const char* kind, uint64_t seed, Counts& counts) {
  const RandomProgram random = random_program(kind, seed);
  const std::vector<std::byte> expected = run(random, Isa::reference, 1);
  for (const Isa isa : supported_isas()) {
    for (const int64_t threads : {1, 3}) {
      counts.add(run(random, isa, threads) == expected, "differs from the reference", kind, seed, isa_name(isa),
                 threads);
    }
  }
  check_refusals(random, kind, seed, counts);
}

}  // namespace

int main(int argc, char** argv) {
  const uint64_t first = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1;
  const uint64_t programs = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 40;
  Counts counts;
  for (const char* kind : kinds) {
    for (uint64_t seed = first; seed < first + programs; ++seed) {
      try {
        check_program(kind, seed, counts);
      } catch (const Error& error) {
        std::printf("%s\n", error.what());
        counts.add(false, "a legal Program is refused", kind, seed, "any ISA", 1);
      }
    }
  }
  std::printf("seeds %llu to %llu of %zu step kinds: %lld passed, %lld failed\n",
              static_cast<unsigned long long>(first), static_cast<unsigned long long>(first + programs - 1),
              std::size(kinds), static_cast<long long>(counts.passed), static_cast<long long>(counts.failed));
  return counts.failed == 0 ? 0 : 1;
}
