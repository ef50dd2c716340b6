// SPDX-License-Identifier: Apache-2.0
// What rows times packed columns share on every ISA: the depth and how it is cut, the columns before they are packed,
// and rows in even groups. Internal linkage.
#pragma once

#include <cstdint>

#include "base/dtype.h"

namespace q8 {
namespace {

// The depth of a row is one or more runs of memory, as the taps of one kernel row are under a window. A kernel takes a
// run in steps of several elements, packed as one. Where the length is no multiple of them, the last step takes in what
// is behind the run, whatever that is, with weights of 0.
struct Depth {
  int64_t runs;
  int64_t length;  // of a run
};

// Element (d, column) is w[d * depth_stride + column * column_stride], d counted through all runs.
struct Columns {
  const void* w;
  DType dtype;
  Depth depth;
  int64_t columns;
  int64_t depth_stride, column_stride;
  const int32_t* zero_point;
  int64_t zero_point_stride;  // 1: one per column; 0: one for all
};

// Part of the depth: runs, or some of one run.
struct Piece {
  int64_t x;  // where it begins, from the first element of a row
  int64_t runs, length;
  int64_t run_stride;
};

// How the depth is cut: a piece has so few steps that its weights stay in the L1 cache until all rows have met them.
struct Cut {
  int64_t step;       // elements
  int64_t most;       // steps of a piece
  int64_t whole = 1;  // a part of a run that is not its last is a multiple of so many steps
};

int64_t ceil_quotient(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Calls function(piece, steps) for one piece after the other; run_stride elements lie between the runs of a row.
template <class Function>
void for_each_piece(const Depth& depth, int64_t run_stride, const Cut& cut, const Function& function) {
  const int64_t steps = ceil_quotient(depth.length, cut.step);
  const int64_t even = ceil_quotient(steps, ceil_quotient(steps, cut.most));  // even parts of a run
  const int64_t most_steps = even < steps ? ceil_quotient(even, cut.whole) * cut.whole : even;
  const int64_t most_runs = even < steps ? 1 : cut.most / even;
  for (int64_t run = 0; run < depth.runs; run += most_runs) {
    const int64_t left = depth.runs - run, runs = left < most_runs ? left : most_runs;
    for (int64_t s = 0; s < steps; s += most_steps) {
      const int64_t part = steps - s < most_steps ? steps - s : most_steps;
      const Piece piece{
          .x = run * run_stride + cut.step * s, .runs = runs, .length = cut.step * part, .run_stride = run_stride};
      function(piece, runs * part);
    }
  }
}

// Calls function(first row, rows of a group, groups) for groups that are as even as can be: 8 rows are 4 and 4 where 6
// are the most.
template <class Function>
void for_each_size(int64_t rows, int64_t most, const Function& function) {
  const int64_t groups = ceil_quotient(rows, most);
  const int64_t smaller = rows / groups, larger = rows % groups;  // groups of smaller + 1
  if (larger > 0) function(0, smaller + 1, larger);
  function(larger * (smaller + 1), smaller, groups - larger);
}

}  // namespace
}  // namespace q8
