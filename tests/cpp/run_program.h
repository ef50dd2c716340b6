// SPDX-License-Identifier: Apache-2.0
// Runs of a Program of one step, and what they leave behind.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "digest.h"
#include "program/executor.h"
#include "random_program.h"

namespace q8 {

// All outputs and accumulators are kept.
ExecutorOptions options_for(const Program& program, Isa isa, int64_t threads);

// The outputs and the accumulators: of a run whose inputs were written before, twice; of each of five runs in one call;
// of a run whose input is transferred. Empty if they are not the same.
std::vector<std::byte> results_of(const RandomProgram& random, Isa isa, int64_t threads);

// The same of one run.
std::vector<std::byte> results_of_one_run(const RandomProgram& random, Isa isa, int64_t threads);

// Takes results of the Program into a digest.
void add_results(const Program& program, const std::vector<std::byte>& results, Digest& digest);

}  // namespace q8
