// SPDX-License-Identifier: Apache-2.0
// Where each buffer lives.
#include "program/planner.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"

namespace q8 {
namespace {

constexpr size_t alignment = 64;

// The steps from the first that touches a buffer to the last, both included.
struct Life {
  int64_t begin = INT64_MAX;
  int64_t end = -1;

  void extend(int64_t step) {
    begin = std::min(begin, step);
    end = std::max(end, step);
  }
  bool overlaps(const Life& other) const { return begin <= other.end && other.begin <= end; }
};

size_t buffer_bytes(const Buffer& buffer) {
  const int64_t bytes = checked_mul(element_count(buffer.shape), static_cast<int64_t>(dtype_bytes(buffer.dtype)));
  const size_t rounded = (static_cast<size_t>(bytes) + memory_guard_bytes + alignment - 1) / alignment * alignment;
  return rounded;
}

void check_number(int64_t number, const Program& program, int64_t step) {
  const int64_t count = static_cast<int64_t>(program.buffers.size());
  Q8_REQUIRE(number >= 0 && number < count, "step ", step, " (", program.steps[static_cast<size_t>(step)].kind,
             "): there is no buffer ", number, ", the Program has ", count);
}

// Every buffer is written by at most one step, constants by none, and none is read before it is written. Returns by
// which step each is written.
std::vector<int64_t> check_order(const Program& program) {
  std::vector<int64_t> written_by(program.buffers.size(), -1);
  std::vector<bool> was_read(program.buffers.size(), false);
  for (int64_t i = 0; i < static_cast<int64_t>(program.steps.size()); ++i) {
    const Step& step = program.steps[static_cast<size_t>(i)];
    for (const int64_t number : step.inputs) {
      check_number(number, program, i);
      was_read[static_cast<size_t>(number)] = true;
    }
    for (const int64_t number : step.outputs) {
      check_number(number, program, i);
      const size_t at = static_cast<size_t>(number);
      Q8_REQUIRE(!program.constants.contains(number), "step ", i, " (", step.kind, "): writes buffer ", number,
                 ", which is constant");
      Q8_REQUIRE(written_by[at] < 0, "step ", i, " (", step.kind, "): writes buffer ", number, ", which step ",
                 written_by[at], " has written");
      Q8_REQUIRE(!was_read[at], "step ", i, " (", step.kind, "): writes buffer ", number,
                 ", which this step or an earlier one reads");
      written_by[at] = i;
    }
  }
  return written_by;
}

std::vector<bool> find_kept(const Program& program, const std::vector<int64_t>& keep) {
  std::vector<bool> kept(program.buffers.size(), true);  // until a step of the core is found to write it
  const auto set = [&kept](const std::vector<int64_t>& numbers, bool value) {
    for (const int64_t number : numbers) kept[static_cast<size_t>(number)] = value;
  };
  for (const Step& step : program.steps) {
    if (!is_host(step)) set(step.outputs, false);
  }
  for (const Step& step : program.steps) {
    if (!is_host(step)) continue;
    set(step.inputs, true);
    set(step.outputs, true);
  }
  for (const int64_t number : keep) {
    Q8_REQUIRE(number >= 0 && number < static_cast<int64_t>(kept.size()), "keep: there is no buffer ", number,
               ", the Program has ", kept.size());
    kept[static_cast<size_t>(number)] = true;
  }
  return kept;
}

std::vector<Life> find_lives(const Program& program, const std::vector<bool>& kept) {
  std::vector<Life> lives(program.buffers.size());
  for (size_t i = 0; i < program.steps.size(); ++i) {
    for (const int64_t number : program.steps[i].inputs)
      lives[static_cast<size_t>(number)].extend(static_cast<int64_t>(i));
    for (const int64_t number : program.steps[i].outputs)
      lives[static_cast<size_t>(number)].extend(static_cast<int64_t>(i));
  }
  for (size_t b = 0; b < lives.size(); ++b) {
    if (kept[b]) lives[b] = {0, INT64_MAX};
  }
  return lives;
}

struct Placed {
  size_t offset, bytes;
  Life life;
};

// The lowest offset where `bytes` fit beside everything that lives at the same time; `placed` is sorted by offset.
size_t lowest_offset(const std::vector<Placed>& placed, const Life& life, size_t bytes) {
  size_t offset = 0;
  for (const Placed& other : placed) {
    if (!other.life.overlaps(life)) continue;
    if (offset + bytes <= other.offset) break;
    offset = std::max(offset, other.offset + other.bytes);
  }
  return offset;
}

}  // namespace

MemoryPlan plan_memory(const Program& program, const std::vector<int64_t>& keep) {
  MemoryPlan plan{
      .offsets = std::vector<size_t>(program.buffers.size(), 0), .kept = {}, .written_by = check_order(program)};
  plan.kept = find_kept(program, keep);
  const std::vector<Life> lives = find_lives(program, plan.kept);
  std::vector<size_t> bytes;
  for (const Buffer& buffer : program.buffers) bytes.push_back(buffer_bytes(buffer));
  std::vector<size_t> order(program.buffers.size());  // great buffers first: the small ones fill the gaps
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&bytes](size_t a, size_t b) { return bytes[a] > bytes[b]; });
  std::vector<Placed> shared, lane;
  for (const size_t b : order) {
    const bool is_constant = program.constants.contains(static_cast<int64_t>(b));
    std::vector<Placed>& placed = is_constant ? shared : lane;
    size_t& end = is_constant ? plan.shared_bytes : plan.lane_bytes;
    const size_t offset = lowest_offset(placed, lives[b], bytes[b]);
    const Placed entry{offset, bytes[b], lives[b]};
    const auto before = [](const Placed& left, const Placed& right) { return left.offset < right.offset; };
    placed.insert(std::upper_bound(placed.begin(), placed.end(), entry, before), entry);
    plan.offsets[b] = offset;
    Q8_REQUIRE(bytes[b] <= SIZE_MAX / 8 - offset, "the buffers do not fit in 64 bits of address space");
    end = std::max(end, offset + bytes[b]);
  }
  return plan;
}

}  // namespace q8
