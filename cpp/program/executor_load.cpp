// SPDX-License-Identifier: Apache-2.0
// Loads a Program into an executor: everything checked, memory planned, weights packed; and what lies in its buffers.
#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "base/f32.h"
#include "program/executor.h"

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

Executor::Executor(Program program, const ExecutorOptions& options)
    : program_(std::move(program)), isa_(options.isa), pool_(check_threads(options.threads)) {
  const DefaultFloatEnvironment environment;
  check_buffers(program_);
  check_constants(program_);
  plan_ = plan_memory(program_, options.keep);
  Q8_REQUIRE(plan_.shared_bytes + plan_.lane_bytes <= options.memory_limit, "the Program needs at least ",
             plan_.shared_bytes + plan_.lane_bytes, " bytes for its buffers, more than the memory_limit of ",
             options.memory_limit);
  steps_ = load(options.threads);
  place(options, load(1));
  memory_.allocate();
  for (auto& [number, array] : program_.constants) {
    if (!array.bytes.empty()) std::memcpy(buffer_memory(number, lanes_[0]), array.bytes.data(), array.bytes.size());
    std::vector<std::byte>().swap(array.bytes);
  }
  bind(steps_, lanes_[0], true);
  for (Lane& lane : lanes_) {
    if (lanes_.size() == 1) break;
    lane.steps = load(1);
    bind(lane.steps, lane, false);
  }
  for (Step& step : program_.steps) step.arrays.clear();
  times_.resize(static_cast<size_t>(options.threads) * (steps_.size() + 1), 0);
}

Executor::Steps Executor::load(int64_t threads) const {
  Steps steps;
  for (size_t i = 0; i < program_.steps.size(); ++i) {
    const LoadOptions load{.isa = isa_, .threads = threads};
    const bool host = is_host(program_.steps[i]);
    steps.push_back(host ? nullptr : load_step(program_, static_cast<int64_t>(i), load));
  }
  return steps;
}

// Constants, packed weights and the scratch memory of each thread, then lanes: one for each thread where steps can be
// run by one alone and the limit allows it, else one. `alone`: the steps as one thread runs them.
void Executor::place(const ExecutorOptions& options, const Steps& alone) {
  keeps_accumulators_.resize(steps_.size(), false);
  for (const int64_t number : options.keep_accumulators) {
    expect_step(number, "keep_accumulators");
    const size_t i = static_cast<size_t>(number);
    Q8_REQUIRE(steps_[i] && steps_[i]->has_accumulators(), "keep_accumulators: step ", number, " (",
               program_.steps[i].kind, ") has no accumulators; conv2d, depthwise_conv2d, matmul and mean have");
    keeps_accumulators_[i] = true;
  }
  constants_ = memory_.place_closed(plan_.shared_bytes);
  for (const auto& [number, array] : program_.constants) {
    const size_t b = static_cast<size_t>(number);
    memory_.open(constants_ + plan_.offsets[b], bytes_of(program_.buffers[b]));
  }
  size_t scratch_bytes = 0;  // of the step that needs most
  for (const Steps* steps : std::initializer_list<const Steps*>{&steps_, &alone}) {
    for (const auto& step : *steps) scratch_bytes = std::max(scratch_bytes, step ? step->scratch_bytes() : 0);
  }
  for (int64_t thread = 0; thread < options.threads; ++thread) scratch_.push_back(memory_.place(scratch_bytes));
  const size_t before = memory_.bytes();
  lanes_.push_back(place_lane({}));
  const size_t lane_bytes = memory_.bytes() - before;
  Q8_REQUIRE(memory_.bytes() <= options.memory_limit, "the Program needs ", memory_.bytes(),
             " bytes for buffers, packed weights and scratch memory, more than the memory_limit of ",
             options.memory_limit);
  const bool has_host = std::any_of(steps_.begin(), steps_.end(), [](const auto& step) { return step == nullptr; });
  const size_t more = static_cast<size_t>(options.threads - 1);
  if (has_host || (options.memory_limit - memory_.bytes()) / std::max<size_t>(lane_bytes, 1) < more) return;
  for (size_t i = 0; i < more; ++i) lanes_.push_back(place_lane(lanes_[0].packed));
}

// Buffers, accumulators of one step at a time, and packed operands: those of steps that pack at load are shared.
Executor::Lane Executor::place_lane(const std::vector<size_t>& shared_packed) {
  Lane lane;
  lane.buffers = memory_.place_closed(plan_.lane_bytes);
  size_t accumulators = 0;
  for (size_t b = 0; b < program_.buffers.size(); ++b) {
    if (!is_constant(static_cast<int64_t>(b)))
      memory_.open(lane.buffers + plan_.offsets[b], bytes_of(program_.buffers[b]));
  }
  for (size_t i = 0; i < steps_.size(); ++i) {
    if (!keeps_accumulators_[i]) continue;
    const Buffer& y = program_.buffers[static_cast<size_t>(program_.steps[i].outputs[0])];
    accumulators = std::max(accumulators, bytes_of({DType::s32, y.shape}));
  }
  lane.accumulators = memory_.place(accumulators);
  for (size_t i = 0; i < steps_.size(); ++i) {
    const bool is_shared = !shared_packed.empty() && steps_[i] && steps_[i]->phases() == 1;
    lane.packed.push_back(is_shared ? shared_packed[i] : memory_.place(steps_[i] ? steps_[i]->packed_bytes() : 0));
  }
  return lane;
}

void Executor::bind(const Steps& steps, const Lane& lane, bool packs) {
  for (size_t i = 0; i < steps.size(); ++i) {
    if (!steps[i]) continue;
    StepMemory memory{.inputs = {}, .outputs = {}, .packed = memory_.at(lane.packed[i]), .accumulators = nullptr};
    for (const int64_t number : program_.steps[i].inputs) memory.inputs.push_back(buffer_memory(number, lane));
    for (const int64_t number : program_.steps[i].outputs) memory.outputs.push_back(buffer_memory(number, lane));
    if (keeps_accumulators_[i]) memory.accumulators = reinterpret_cast<int32_t*>(memory_.at(lane.accumulators));
    steps[i]->bind(std::move(memory), packs);
  }
}

uint8_t* Executor::buffer_memory(int64_t number, const Lane& lane) const {
  return memory_.at((is_constant(number) ? constants_ : lane.buffers) + plan_.offsets[static_cast<size_t>(number)]);
}

void Executor::expect_buffer(int64_t number, const char* verb) const {
  Q8_REQUIRE(number >= 0 && number < static_cast<int64_t>(program_.buffers.size()), verb, ": there is no buffer ",
             number, ", the Program has ", program_.buffers.size());
}

void Executor::expect_kept(int64_t number, const char* verb) const {
  expect_buffer(number, verb);
  Q8_REQUIRE(plan_.kept[static_cast<size_t>(number)], verb, ": the memory of buffer ", number,
             " is used again by other buffers; list it in keep");
}

void Executor::expect_step(int64_t step, const char* verb) const {
  Q8_REQUIRE(step >= 0 && step < static_cast<int64_t>(steps_.size()), verb, ": there is no step ", step,
             ", the Program has ", steps_.size());
}

const Buffer& Executor::buffer(int64_t number) const {
  expect_kept(number, "read");
  return program_.buffers[static_cast<size_t>(number)];
}

void Executor::write(int64_t number, const TensorView& tensor) {
  expect_kept(number, "write");
  Q8_REQUIRE(!is_constant(number), "write: buffer ", number, " is constant");
  const Buffer& buffer = program_.buffers[static_cast<size_t>(number)];
  Q8_REQUIRE(tensor.dtype == buffer.dtype && tensor.shape == buffer.shape, "write: buffer ", number, " is ",
             to_string(buffer.dtype, buffer.shape), ", found ", to_string(tensor.dtype, tensor.shape));
  const std::lock_guard lock(mutex_);
  std::memcpy(buffer_memory(number, lanes_[0]), tensor.data, bytes_of(buffer));
}

void Executor::read(int64_t number, void* to) const {
  expect_kept(number, "read");
  const std::lock_guard lock(mutex_);
  std::memcpy(to, buffer_memory(number, lanes_[0]), bytes_of(program_.buffers[static_cast<size_t>(number)]));
}

std::vector<std::string> Executor::kernels() const {
  std::vector<std::string> names;
  for (const auto& step : steps_) names.push_back(step ? step->kernels() : "host");
  return names;
}

}  // namespace q8
