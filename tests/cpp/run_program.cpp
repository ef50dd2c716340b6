// SPDX-License-Identifier: Apache-2.0
#include "run_program.h"

#include <map>
#include <set>

namespace q8 {

ExecutorOptions options_for(const Program& program, Isa isa, int64_t threads) {
  static const std::set<std::string> with_accumulators{"conv2d", "depthwise_conv2d", "matmul", "mean"};
  ExecutorOptions options{.isa = isa,
                          .threads = threads,
                          .keep = program.steps[0].outputs,
                          .keep_accumulators = {},
                          .memory_limit = uint64_t{1} << 30};
  if (with_accumulators.contains(program.steps[0].kind)) options.keep_accumulators.push_back(0);
  return options;
}

namespace {

std::vector<int64_t> file_order(const Shape& shape) {
  std::vector<int64_t> perm;
  for (size_t i = 0; i < shape.size(); ++i) perm.push_back(static_cast<int64_t>(i));
  return perm;
}

// Arrays for the outputs and the accumulators of so many runs, and how they get there.
class Results {
 public:
  Results(const Program& program, const ExecutorOptions& options, int64_t runs) : runs_(runs) {
    for (const int64_t number : program.steps[0].outputs) {
      const Buffer& buffer = program.buffers[static_cast<size_t>(number)];
      add(Direction::out_of_buffer, number, buffer.dtype, buffer.shape);
    }
    for (const int64_t step : options.keep_accumulators) {
      const size_t y = static_cast<size_t>(program.steps[static_cast<size_t>(step)].outputs[0]);
      add(Direction::accumulators, step, DType::s32, program.buffers[y].shape);
    }
    for (size_t i = 0; i < transfers_.size(); ++i) transfers_[i].tensor.data = bytes_[i].data();
  }

  const std::vector<Transfer>& transfers() const { return transfers_; }

  // What run number `run` left behind.
  std::vector<std::byte> of(int64_t run) const {
    std::vector<std::byte> out;
    for (const std::vector<std::byte>& bytes : bytes_) {
      const auto part = static_cast<std::ptrdiff_t>(bytes.size()) / runs_;
      out.insert(out.end(), bytes.begin() + run * part, bytes.begin() + (run + 1) * part);
    }
    return out;
  }

 private:
  void add(Direction direction, int64_t number, DType dtype, const Shape& shape) {
    const int64_t elements = element_count(shape) * runs_;
    bytes_.emplace_back(static_cast<size_t>(elements) * dtype_bytes(dtype));
    transfers_.push_back({.direction = direction,
                          .number = number,
                          .shape = shape,
                          .perm = file_order(shape),
                          .tensor = {.dtype = dtype, .shape = {elements}, .data = nullptr}});
  }

  int64_t runs_;
  std::vector<Transfer> transfers_;
  std::vector<std::vector<std::byte>> bytes_;
};

void write_inputs(Executor& executor, std::map<int64_t, Array>& inputs) {
  for (auto& [number, array] : inputs) {
    executor.write(number, {.dtype = array.dtype, .shape = array.shape, .data = array.bytes.data()});
  }
}

}  // namespace

std::vector<std::byte> results_of(const RandomProgram& random, Isa isa, int64_t threads) {
  const ExecutorOptions options = options_for(random.program, isa, threads);
  Executor executor(random.program, options);
  std::map<int64_t, Array> inputs = random.inputs;
  write_inputs(executor, inputs);
  const Results first(random.program, options, 1), again(random.program, options, 1), many(random.program, options, 5);
  executor.run({.begin = 0, .end = 1, .transfers = first.transfers()});
  executor.run({.begin = 0, .end = 1, .transfers = again.transfers()});
  std::vector<Transfer> transfers = many.transfers();
  for (auto& [number, array] : inputs) {
    const TensorView tensor{.dtype = array.dtype, .shape = array.shape, .data = array.bytes.data()};
    transfers.push_back({.direction = Direction::into_buffer,
                         .number = number,
                         .shape = array.shape,
                         .perm = file_order(array.shape),
                         .tensor = tensor});
  }
  executor.run({.begin = 0, .end = 1, .runs = 5, .transfers = transfers, .is_timed = true});
  bool same = first.of(0) == again.of(0);
  for (int64_t i = 0; i < 5; ++i) same = same && many.of(i) == first.of(0);
  return same ? first.of(0) : std::vector<std::byte>{};
}

std::vector<std::byte> results_of_one_run(const RandomProgram& random, Isa isa, int64_t threads) {
  const ExecutorOptions options = options_for(random.program, isa, threads);
  Executor executor(random.program, options);
  std::map<int64_t, Array> inputs = random.inputs;
  write_inputs(executor, inputs);
  const Results results(random.program, options, 1);
  executor.run({.begin = 0, .end = 1, .transfers = results.transfers()});
  return results.of(0);
}

void add_results(const Program& program, const std::vector<std::byte>& results, Digest& digest) {
  size_t done = 0;
  for (const int64_t number : program.steps[0].outputs) {
    const Buffer& buffer = program.buffers[static_cast<size_t>(number)];
    const size_t bytes = static_cast<size_t>(element_count(buffer.shape)) * dtype_bytes(buffer.dtype);
    if (done + bytes > results.size()) break;  // nothing, because the runs differed
    if (buffer.dtype == DType::f32) {
      digest.add_floats(results.data() + done, bytes / 4);
    } else {
      digest.add(results.data() + done, bytes);
    }
    done += bytes;
  }
  digest.add(results.data() + done, results.size() - done);
}

}  // namespace q8
