// SPDX-License-Identifier: Apache-2.0
// From the kind of a step to the function that loads it, by the list.
#include "program/loaded_step.h"

#include "base/error.h"

namespace q8 {
namespace {

struct StepKind {
  const char* name;
  std::unique_ptr<LoadedStep> (*load)(StepReader& reader, const LoadOptions& options);
};

constexpr StepKind kinds[] = {
#define Q8_STEP(kind) {#kind, load_##kind},
#include "program/steps.inc"
#undef Q8_STEP
};

}  // namespace

std::unique_ptr<LoadedStep> load_step(const Program& program, int64_t index, const LoadOptions& options) {
  StepReader reader(program, index);
  std::string known;
  for (const StepKind& kind : kinds) {
    if (reader.kind() == kind.name) return kind.load(reader, options);
    known += std::string(kind.name) + ", ";
  }
  reader.fail("unknown step kind; known: ", known, "host");
}

}  // namespace q8
