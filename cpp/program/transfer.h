// SPDX-License-Identifier: Apache-2.0
// What goes between the caller's tensors and the buffers of a Program, run after run, without a copy of the whole.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/tensor.h"
#include "program/permutation.h"
#include "program/program.h"

namespace q8 {

enum class Direction : uint8_t { into_buffer, out_of_buffer, accumulators };

// `tensor` holds one part for each run, one after another; or, into a buffer only, one part that every run gets.
struct Transfer {
  Direction direction;
  int64_t number;  // of the buffer, or of the step whose accumulators are meant
  Shape shape;     // of one part
  std::vector<int64_t>
      perm;  // the axes of a part in the order of the buffer, whose shape may differ by axes of length 1
  TensorView tensor;
};

// A transfer that has been checked, and its place between the steps.
struct Move {
  int64_t after = -1;      // the step that it follows; -1: before the first
  bool is_shared = false;  // a constant buffer
  size_t offset = 0;       // within the memory of a lane, or of the constants
  bool is_into;
  uint8_t* tensor;     // the part of run 0
  int64_t part_bytes;  // from one run's part to the next
  Permutation permutation;

  // The units [begin, end) of the permutation, for one run.
  void run(uint8_t* buffer, int64_t number, int64_t begin, int64_t end) const;
};

// Checks that the tensor holds what `buffer` asks for; `what` begins the sentence of an error. Leaves the place open.
Move make_move(const Transfer& transfer, const Buffer& buffer, const std::string& what, int64_t runs, Isa isa);

}  // namespace q8
