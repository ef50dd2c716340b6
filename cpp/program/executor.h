// SPDX-License-Identifier: Apache-2.0
// Runs a Program, once or many times: memory planned once, weights packed once, nothing allocated while steps run.
//
// Every thread has a lane: buffers of its own for one run of the whole Program. With at least as many runs as threads
// each thread takes run after run through all steps, and none waits for another. With fewer runs all threads share the
// work of each step of one run.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/isa.h"
#include "program/loaded_step.h"
#include "program/planner.h"
#include "program/program.h"
#include "program/thread_pool.h"
#include "program/transfer.h"
#include "program/workspace.h"

namespace q8 {

struct ExecutorOptions {
  Isa isa;
  int64_t threads;
  std::vector<int64_t> keep;               // buffers that can be read after a run
  std::vector<int64_t> keep_accumulators;  // steps
  uint64_t memory_limit;                   // bytes
};

// What one call runs.
struct RunRequest {
  int64_t begin, end;  // steps; none of them may be a host step
  int64_t runs = 1;
  std::vector<Transfer> transfers = {};  // those at other steps are left out
  bool is_timed = false;
};

// The member functions may be called from several threads; one call at a time proceeds.
class Executor {
 public:
  // Checks everything; throws q8::Error.
  Executor(Program program, const ExecutorOptions& options);

  // Copies a tensor of exactly this dtype and shape into a buffer that is kept and not constant.
  void write(int64_t buffer, const TensorView& tensor);

  // What a buffer is, and its content after a call with one run; read() needs a buffer that is kept.
  const Buffer& buffer(int64_t number) const;
  void read(int64_t buffer, void* to) const;

  // Runs steps. A transfer follows the step that writes its buffer, or, where no step of the core does, comes before
  // the first step that is run after that. Transfers at one place keep their order.
  void run(const RunRequest& request);

  // Nanoseconds of each step in the last timed call, added over runs and threads, and at the end those of the
  // transfers.
  std::vector<int64_t> step_times() const;

  // For each step the symbols of its kernels; for a host step, "host".
  std::vector<std::string> kernels() const;

  // Buffers, packed weights, accumulators and the scratch memory of all threads.
  size_t memory_bytes() const { return memory_.bytes(); }

 private:
  using Steps = std::vector<std::unique_ptr<LoadedStep>>;  // nullptr for a host step
  struct Lane {
    Steps steps;  // none in the only lane
    size_t buffers = 0, accumulators = 0;
    std::vector<size_t> packed = {};  // by step; of one phase only in the first lane, for all
  };
  // Those who share the work of a step.
  struct Crew {
    const Steps& steps;
    const Lane& lane;
    int64_t member, size;
    uint8_t* scratch;
    int64_t* times;  // nullptr: not timed
  };

  Steps load(int64_t threads) const;
  void place(const ExecutorOptions& options, const Steps& alone);
  Lane place_lane(const std::vector<size_t>& shared_packed);
  void bind(const Steps& steps, const Lane& lane, bool packs);
  std::vector<Move> plan_moves(const RunRequest& request) const;
  Move plan_move(const Transfer& transfer, int64_t runs) const;
  void run_as_team(const RunRequest& request, const std::vector<Move>& moves, int64_t thread);
  void run_in_lane(const RunRequest& request, const std::vector<Move>& moves, int64_t thread);
  void run_steps(const RunRequest& request, const std::vector<Move>& moves, int64_t number, const Crew& crew);
  void run_move(const Move& move, int64_t number, const Crew& crew);
  uint8_t* buffer_memory(int64_t number, const Lane& lane) const;
  int64_t* times_of(int64_t thread, bool is_timed);
  bool is_constant(int64_t number) const { return program_.constants.contains(number); }
  void expect_buffer(int64_t number, const char* verb) const;
  void expect_kept(int64_t number, const char* verb) const;
  void expect_step(int64_t step, const char* verb) const;

  Program program_;
  Isa isa_;
  MemoryPlan plan_;
  Steps steps_;  // of all threads together, in the first lane
  std::vector<bool> keeps_accumulators_;
  Workspace memory_;
  size_t constants_ = 0;
  std::vector<size_t> scratch_;  // by thread
  std::vector<Lane> lanes_;      // one, or one for each thread
  std::vector<int64_t> times_;   // of each thread, of each step and of the transfers
  std::atomic<int64_t> next_run_{0};
  ThreadPool pool_;
  mutable std::mutex mutex_;
};

}  // namespace q8
