// SPDX-License-Identifier: Apache-2.0
// Runs a Program: the steps of one run, by one thread in its lane or by all threads together.
#include "program/executor.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <functional>

#include "base/error.h"
#include "base/f32.h"

namespace q8 {
namespace {

int64_t nanoseconds() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
}

// Adds the time from its making to its end.
class Timer {
 public:
  explicit Timer(int64_t* to) : to_(to), start_(to == nullptr ? 0 : nanoseconds()) {}
  ~Timer() {
    if (to_ != nullptr) *to_ += nanoseconds() - start_;
  }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

 private:
  int64_t* to_;
  int64_t start_;
};

}  // namespace

void Executor::run(const RunRequest& request) {
  const int64_t count = static_cast<int64_t>(steps_.size());
  Q8_REQUIRE(request.begin >= 0 && request.begin <= request.end && request.end <= count, "run: [", request.begin, ", ",
             request.end, ") is not a range of steps, the Program has ", count);
  Q8_REQUIRE(request.runs >= 1, "run: runs must be at least 1, found ", request.runs);
  for (int64_t i = request.begin; i < request.end; ++i) {
    Q8_REQUIRE(steps_[static_cast<size_t>(i)] != nullptr, "run: step ", i,
               " (host) is not run by the core; run the steps before and after it");
  }
  const std::vector<Move> moves = plan_moves(request);
  const std::lock_guard lock(mutex_);
  if (request.is_timed) std::fill(times_.begin(), times_.end(), 0);
  next_run_.store(0);
  const bool has_lanes = lanes_.size() > 1 && request.runs >= pool_.threads();
  const auto job = [&, this](int64_t thread) {
    const DefaultFloatEnvironment environment;
    if (has_lanes) {
      run_in_lane(request, moves, thread);
    } else {
      run_as_team(request, moves, thread);
    }
  };
  pool_.run(std::cref(job));  // a reference: std::function would allocate to hold the lambda itself
}

void Executor::run_as_team(const RunRequest& request, const std::vector<Move>& moves, int64_t thread) {
  const Crew crew{.steps = steps_,
                  .lane = lanes_[0],
                  .member = thread,
                  .size = pool_.threads(),
                  .scratch = memory_.at(scratch_[static_cast<size_t>(thread)]),
                  .times = times_of(thread, request.is_timed)};
  for (int64_t number = 0; number < request.runs; ++number) run_steps(request, moves, number, crew);
}

void Executor::run_in_lane(const RunRequest& request, const std::vector<Move>& moves, int64_t thread) {
  const Lane& lane = lanes_[static_cast<size_t>(thread)];
  const Crew crew{.steps = lane.steps,
                  .lane = lane,
                  .member = 0,
                  .size = 1,
                  .scratch = memory_.at(scratch_[static_cast<size_t>(thread)]),
                  .times = times_of(thread, request.is_timed)};
  for (int64_t number; (number = next_run_.fetch_add(1)) < request.runs;) run_steps(request, moves, number, crew);
}

// Run `number` of the steps, and of the moves between them.
void Executor::run_steps(const RunRequest& request, const std::vector<Move>& moves, int64_t number, const Crew& crew) {
  auto move = moves.begin();
  for (; move != moves.end() && move->after < request.begin; ++move) run_move(*move, number, crew);
  for (int64_t i = request.begin; i < request.end; ++i) {
    const LoadedStep& step = *crew.steps[static_cast<size_t>(i)];
    {
      const Timer timer(crew.times == nullptr ? nullptr : crew.times + i);
      for (int phase = 0; phase < step.phases(); ++phase) {
        const int64_t work = step.work(phase);
        const int64_t first = work * crew.member / crew.size;
        const int64_t last = work * (crew.member + 1) / crew.size;
        if (first < last) step.run(phase, first, last, crew.scratch);
        if (crew.size > 1) pool_.barrier();
      }
    }
    for (; move != moves.end() && move->after == i; ++move) run_move(*move, number, crew);
  }
}

void Executor::run_move(const Move& move, int64_t number, const Crew& crew) {
  const Timer timer(crew.times == nullptr ? nullptr : crew.times + steps_.size());
  uint8_t* buffer = memory_.at((move.is_shared ? constants_ : crew.lane.buffers) + move.offset);
  const int64_t units = move.permutation.units();
  const int64_t first = units * crew.member / crew.size;
  const int64_t last = units * (crew.member + 1) / crew.size;
  if (first < last) move.run(buffer, number, first, last);
  if (crew.size > 1) pool_.barrier();
}

int64_t* Executor::times_of(int64_t thread, bool is_timed) {
  return is_timed ? times_.data() + thread * static_cast<int64_t>(steps_.size() + 1) : nullptr;
}

std::vector<int64_t> Executor::step_times() const {
  const std::lock_guard lock(mutex_);
  std::vector<int64_t> sums(steps_.size() + 1, 0);
  for (size_t i = 0; i < times_.size(); ++i) sums[i % sums.size()] += times_[i];
  return sums;
}

std::vector<Move> Executor::plan_moves(const RunRequest& request) const {
  std::vector<Move> moves;
  for (const Transfer& transfer : request.transfers) moves.push_back(plan_move(transfer, request.runs));
  // At the beginning there is what precedes every step, or follows the host step before.
  const bool has_before = request.begin == 0 || steps_[static_cast<size_t>(request.begin - 1)] == nullptr;
  std::erase_if(moves, [&](const Move& move) {
    return move.after >= request.end || move.after < request.begin - (has_before ? 1 : 0);
  });
  std::stable_sort(moves.begin(), moves.end(),
                   [](const Move& left, const Move& right) { return left.after < right.after; });
  return moves;
}

Move Executor::plan_move(const Transfer& transfer, int64_t runs) const {
  const int64_t number = transfer.number;
  const size_t at = static_cast<size_t>(number);
  if (transfer.direction == Direction::accumulators) {
    expect_step(number, "run: accumulators");
    Q8_REQUIRE(keeps_accumulators_[at], "run: the accumulators of step ", number, " (", program_.steps[at].kind,
               ") are not kept; list it in keep_accumulators");
    const Buffer& y = program_.buffers[static_cast<size_t>(program_.steps[at].outputs[0])];
    Move move = make_move(transfer, {DType::s32, y.shape}, text("run: the accumulators of step ", number), runs, isa_);
    move.after = number;
    move.offset = lanes_[0].accumulators - lanes_[0].buffers;
    return move;
  }
  expect_buffer(number, "run");
  Move move = make_move(transfer, program_.buffers[at], text("run: buffer ", number), runs, isa_);
  Q8_REQUIRE(!move.is_into || !is_constant(number), "run: buffer ", number, " is constant");
  move.after = plan_.written_by[at];
  move.is_shared = is_constant(number);
  move.offset = plan_.offsets[at];
  return move;
}

}  // namespace q8
