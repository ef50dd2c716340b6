// SPDX-License-Identifier: Apache-2.0
// Runs a Program.
#include "program/executor.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <functional>

#include "base/error.h"
#include "base/f32.h"
#include "program/steps/units.h"
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

namespace q8 {
namespace {

constexpr int64_t max_threads = 256;

size_t bytes_of(const Buffer& buffer) {
  return static_cast<size_t>(element_count(buffer.shape)) * dtype_bytes(buffer.dtype);
}

void check_buffers(const Program& program) {
  for (size_t i = 0; i < program.buffers.size(); ++i) {
    const Buffer& buffer = program.buffers[i];
    Q8_REQUIRE(static_cast<int>(buffer.dtype) <= static_cast<int>(DType::f32), "buffer ", i,
               " must be int8, uint8, int32 or float32, found ", dtype_name(buffer.dtype));
    Q8_REQUIRE(buffer.shape.size() <= max_rank, "buffer ", i, " must have at most ", max_rank, " dimensions, found ",
               to_string(buffer.shape));
    for (const int64_t dim : buffer.shape) {
      Q8_REQUIRE(dim >= 1, "buffer ", i, " must have dimensions of at least 1, found ", to_string(buffer.shape));
    }
  }
}

void check_constants(const Program& program) {
  for (const auto& [number, array] : program.constants) {
    Q8_REQUIRE(number >= 0 && number < static_cast<int64_t>(program.buffers.size()), "constants: there is no buffer ",
               number, ", the Program has ", program.buffers.size());
    const Buffer& buffer = program.buffers[static_cast<size_t>(number)];
    Q8_REQUIRE(array.dtype == buffer.dtype && array.shape == buffer.shape, "constant buffer ", number, " must be ",
               to_string(buffer.dtype, buffer.shape), ", found ", to_string(array.dtype, array.shape));
  }
}

int64_t check_threads(int64_t threads) {
  Q8_REQUIRE(threads >= 1 && threads <= max_threads, "threads must be in [1, ", max_threads, "], found ", threads);
  return threads;
}

}  // namespace

void Executor::Free::operator()(void* memory) const { std::free(memory); }

Executor::Executor(Program program, const ExecutorOptions& options)
    : program_(std::move(program)), pool_(check_threads(options.threads)) {
  const DefaultFloatEnvironment environment;
  check_and_load(options);
  plan(options);
  bind_steps();
}

Executor::~Executor() {
#ifdef __SANITIZE_ADDRESS__
  if (memory_ != nullptr) __asan_unpoison_memory_region(memory_, memory_bytes_);
#endif
}

void Executor::check_and_load(const ExecutorOptions& options) {
  check_buffers(program_);
  check_constants(program_);
  plan_ = plan_memory(program_, options.keep);
  Q8_REQUIRE(plan_.bytes <= options.memory_limit, "the Program needs at least ", plan_.bytes,
             " bytes for its buffers, more than the memory_limit of ", options.memory_limit);
  for (size_t i = 0; i < program_.steps.size(); ++i) {
    const LoadOptions load{.isa = options.isa, .threads = options.threads};
    const bool host = is_host(program_.steps[i]);
    steps_.push_back(host ? nullptr : load_step(program_, static_cast<int64_t>(i), load));
  }
}

// Buffers, then packed weights, then kept accumulators, then scratch memory: one block.
void Executor::plan(const ExecutorOptions& options) {
  size_t end = plan_.bytes;
  const auto place = [this, &end](size_t bytes) {
    const size_t offset = end;
    blocks_.push_back({offset, bytes});
    Q8_REQUIRE(!__builtin_add_overflow(end, round_up_to_64(bytes + memory_guard_bytes), &end),
               "the Program does not fit in 64 bits");
    return offset;
  };
  size_t scratch_bytes = 0;  // of the step that needs most
  for (const auto& step : steps_) {
    packed_offsets_.push_back(place(step ? step->packed_bytes() : 0));
    if (step) scratch_bytes = std::max(scratch_bytes, step->scratch_bytes());
  }
  accumulator_offsets_.resize(steps_.size(), 0);
  for (const int64_t number : options.keep_accumulators) {
    expect_step(number, "keep_accumulators");
    const size_t i = static_cast<size_t>(number);
    Q8_REQUIRE(steps_[i] && steps_[i]->has_accumulators(), "keep_accumulators: step ", number, " (",
               program_.steps[i].kind, ") has no accumulators; conv2d, depthwise_conv2d, matmul and mean have");
    const Buffer& y = program_.buffers[static_cast<size_t>(program_.steps[i].outputs[0])];
    place(64);  // so that no offset is 0
    accumulator_offsets_[i] = place(bytes_of({DType::s32, y.shape}));
  }
  for (int64_t thread = 0; thread < options.threads; ++thread) scratch_offsets_.push_back(place(scratch_bytes));
  memory_bytes_ = end;
  Q8_REQUIRE(memory_bytes_ <= options.memory_limit, "the Program needs ", memory_bytes_,
             " bytes for buffers, packed weights and scratch memory, more than the memory_limit of ",
             options.memory_limit);
}

void Executor::bind_steps() {
  allocation_.reset(std::calloc(memory_bytes_ + 64, 1));
  Q8_REQUIRE(allocation_ != nullptr, "could not allocate ", memory_bytes_, " bytes");
  const uintptr_t address = reinterpret_cast<uintptr_t>(allocation_.get());
  memory_ = static_cast<uint8_t*>(allocation_.get()) + (64 - address % 64);
  for (auto& [number, array] : program_.constants) {
    if (!array.bytes.empty()) std::memcpy(buffer_memory(number), array.bytes.data(), array.bytes.size());
    std::vector<std::byte>().swap(array.bytes);
  }
  poison_guards();
  for (size_t i = 0; i < steps_.size(); ++i) {
    if (!steps_[i]) continue;
    StepMemory memory{.inputs = {}, .outputs = {}, .packed = memory_ + packed_offsets_[i], .accumulators = nullptr};
    for (const int64_t number : program_.steps[i].inputs) memory.inputs.push_back(buffer_memory(number));
    for (const int64_t number : program_.steps[i].outputs) memory.outputs.push_back(buffer_memory(number));
    if (accumulator_offsets_[i] != 0) {
      memory.accumulators = reinterpret_cast<int32_t*>(memory_ + accumulator_offsets_[i]);
    }
    steps_[i]->bind(std::move(memory));
    program_.steps[i].arrays.clear();
  }
}

// Lets the address sanitizer see every access that leaves its buffer.
void Executor::poison_guards() {
#ifdef __SANITIZE_ADDRESS__
  __asan_poison_memory_region(memory_, memory_bytes_);
  for (size_t b = 0; b < program_.buffers.size(); ++b) {
    __asan_unpoison_memory_region(memory_ + plan_.offsets[b], bytes_of(program_.buffers[b]));
  }
  for (const Block& block : blocks_) __asan_unpoison_memory_region(memory_ + block.offset, block.bytes);
#endif
}

void Executor::expect_buffer(int64_t number, const char* verb) const {
  Q8_REQUIRE(number >= 0 && number < static_cast<int64_t>(program_.buffers.size()), verb, ": there is no buffer ",
             number, ", the Program has ", program_.buffers.size());
  Q8_REQUIRE(plan_.kept[static_cast<size_t>(number)], verb, ": the memory of buffer ", number,
             " is used again by other buffers; list it in keep");
}

void Executor::expect_step(int64_t step, const char* verb) const {
  Q8_REQUIRE(step >= 0 && step < static_cast<int64_t>(steps_.size()), verb, ": there is no step ", step,
             ", the Program has ", steps_.size());
}

const Buffer& Executor::buffer(int64_t number) const {
  expect_buffer(number, "read");
  return program_.buffers[static_cast<size_t>(number)];
}

void Executor::write(int64_t number, const TensorView& tensor) {
  expect_buffer(number, "write");
  Q8_REQUIRE(!program_.constants.contains(number), "write: buffer ", number, " is constant");
  const Buffer& buffer = program_.buffers[static_cast<size_t>(number)];
  Q8_REQUIRE(tensor.dtype == buffer.dtype && tensor.shape == buffer.shape, "write: buffer ", number, " is ",
             to_string(buffer.dtype, buffer.shape), ", found ", to_string(tensor.dtype, tensor.shape));
  const std::lock_guard lock(mutex_);
  std::memcpy(buffer_memory(number), tensor.data, bytes_of(buffer));
}

void Executor::read(int64_t number, void* to) const {
  expect_buffer(number, "read");
  const std::lock_guard lock(mutex_);
  std::memcpy(to, buffer_memory(number), bytes_of(program_.buffers[static_cast<size_t>(number)]));
}

void Executor::run(int64_t begin, int64_t end) {
  const int64_t count = static_cast<int64_t>(steps_.size());
  Q8_REQUIRE(begin >= 0 && begin <= end && end <= count, "run: [", begin, ", ", end,
             ") is not a range of steps, the Program has ", count);
  for (int64_t i = begin; i < end; ++i) {
    Q8_REQUIRE(steps_[static_cast<size_t>(i)] != nullptr, "run: step ", i,
               " (host) is not run by the core; run the steps before and after it");
  }
  const std::lock_guard lock(mutex_);
  const auto job = [this, begin, end](int64_t thread) { run_steps(begin, end, thread); };
  pool_.run(std::cref(job));  // a reference: std::function would allocate to hold the lambda itself
}

void Executor::run_steps(int64_t begin, int64_t end, int64_t thread) {
  const DefaultFloatEnvironment environment;
  uint8_t* scratch = memory_ + scratch_offsets_[static_cast<size_t>(thread)];
  for (int64_t i = begin; i < end; ++i) {
    const LoadedStep& step = *steps_[static_cast<size_t>(i)];
    for (int phase = 0; phase < step.phases(); ++phase) {
      const int64_t work = step.work(phase);
      const int64_t first = work * thread / pool_.threads();
      const int64_t last = work * (thread + 1) / pool_.threads();
      if (first < last) step.run(phase, first, last, scratch);
      pool_.barrier();
    }
  }
}

const Shape& Executor::accumulator_shape(int64_t step) const {
  expect_step(step, "accumulators");
  const size_t i = static_cast<size_t>(step);
  Q8_REQUIRE(accumulator_offsets_[i] != 0, "the accumulators of step ", step, " (", program_.steps[i].kind,
             ") are not kept; list it in keep_accumulators");
  return program_.buffers[static_cast<size_t>(program_.steps[i].outputs[0])].shape;
}

void Executor::read_accumulators(int64_t step, void* to) const {
  const Buffer kept{DType::s32, accumulator_shape(step)};
  const std::lock_guard lock(mutex_);
  std::memcpy(to, memory_ + accumulator_offsets_[static_cast<size_t>(step)], bytes_of(kept));
}

std::vector<std::string> Executor::kernels() const {
  std::vector<std::string> names;
  for (const auto& step : steps_) names.push_back(step ? step->kernels() : "host");
  return names;
}

}  // namespace q8
