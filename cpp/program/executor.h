// SPDX-License-Identifier: Apache-2.0
// Runs a Program: memory planned once, weights packed once, nothing allocated per run.
#pragma once

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

namespace q8 {

struct ExecutorOptions {
  Isa isa;
  int64_t threads;
  std::vector<int64_t> keep;               // buffers that can be read after a run
  std::vector<int64_t> keep_accumulators;  // steps
  uint64_t memory_limit;                   // bytes
};

// The member functions may be called from several threads; one call at a time proceeds.
class Executor {
 public:
  // Checks everything; throws q8::Error.
  Executor(Program program, const ExecutorOptions& options);
  ~Executor();

  // Copies a tensor of exactly this dtype and shape into a buffer that is kept and not constant.
  void write(int64_t buffer, const TensorView& tensor);

  // What a buffer is, and its content; read() needs a buffer that is kept.
  const Buffer& buffer(int64_t number) const;
  void read(int64_t buffer, void* to) const;

  // Runs the steps [begin, end); none of them may be a host step.
  void run(int64_t begin, int64_t end);

  // Shape of the accumulators of a step, and the accumulators; the step must be listed in keep_accumulators.
  const Shape& accumulator_shape(int64_t step) const;
  void read_accumulators(int64_t step, void* to) const;

  // For each step the symbols of its kernels; for a host step, "host".
  std::vector<std::string> kernels() const;

  // Buffers, packed weights, kept accumulators and the scratch memory of all threads.
  size_t memory_bytes() const { return memory_bytes_; }

 private:
  void check_and_load(const ExecutorOptions& options);
  void plan(const ExecutorOptions& options);
  void bind_steps();
  void poison_guards();
  void run_steps(int64_t begin, int64_t end, int64_t thread);
  uint8_t* buffer_memory(int64_t number) const { return memory_ + plan_.offsets[static_cast<size_t>(number)]; }
  void expect_buffer(int64_t number, const char* verb) const;
  void expect_step(int64_t step, const char* verb) const;

  Program program_;
  MemoryPlan plan_;
  std::vector<std::unique_ptr<LoadedStep>> steps_;  // nullptr for a host step
  std::vector<size_t> packed_offsets_;
  std::vector<size_t> accumulator_offsets_;  // 0: not kept
  struct Block {
    size_t offset, bytes;
  };
  std::vector<Block> blocks_;            // of memory, behind the buffers
  std::vector<size_t> scratch_offsets_;  // by thread
  size_t memory_bytes_ = 0;
  struct Free {
    void operator()(void* memory) const;
  };
  std::unique_ptr<void, Free> allocation_;
  uint8_t* memory_ = nullptr;  // 64-byte aligned
  ThreadPool pool_;
  mutable std::mutex mutex_;
};

}  // namespace q8
