// SPDX-License-Identifier: Apache-2.0
// Random legal Programs of one step, for the sanitizer test.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "program/program.h"

namespace q8 {

struct RandomProgram {
  Program program;
  std::map<int64_t, Array> inputs;  // for the buffers that are neither constant nor written by the step
};

// The same seed gives the same Program. Throws q8::Error for a kind it does not know.
RandomProgram random_program(const std::string& kind, uint64_t seed);

}  // namespace q8
