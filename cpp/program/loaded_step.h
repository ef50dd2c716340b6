// SPDX-License-Identifier: Apache-2.0
// A step after it has been checked, with its kernels chosen and its weights packed: what the executor runs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "base/isa.h"
#include "program/program.h"
#include "program/step_reader.h"

namespace q8 {

// What the choice of kernels and of the size of a unit of work may depend on. The result never does.
struct LoadOptions {
  Isa isa;
  int64_t threads;
};

// Where everything of a step lives; the memory belongs to the executor.
struct StepMemory {
  std::vector<const void*> inputs;
  std::vector<void*> outputs;
  void* packed;           // packed_bytes(), 64-byte aligned
  int32_t* accumulators;  // nullptr, or where to keep them
};

// A zero point that is known at load, or one that an input holds.
struct ZeroPoint {
  int32_t value;
  int input = -1;  // number of the input that holds it
  DType dtype = DType::s8;
};

// A step runs in phases, one after the other, each a number of independent units of work: any split of the units among
// threads gives the same bits.
class LoadedStep {
 public:
  virtual ~LoadedStep() = default;

  virtual int phases() const { return 1; }
  virtual int64_t work(int phase) const = 0;
  virtual void run(int phase, int64_t begin, int64_t end, void* scratch) const = 0;

  virtual size_t scratch_bytes() const { return 0; }  // for each thread
  virtual size_t packed_bytes() const { return 0; }
  virtual bool has_accumulators() const { return false; }
  virtual std::string kernels() const = 0;  // "conv2d_avx2 + requantize_avx2"

  // Gives the step its memory, once, after the constants have been written. Steps of several lanes share one packed
  // memory, which one of them fills: pack() writes nothing else. A step of several phases has it for itself.
  void bind(StepMemory memory, bool packs) {
    memory_ = std::move(memory);
    if (packs) pack();
  }

 protected:
  template <class T>
  const T* input(size_t i) const {
    return static_cast<const T*>(memory_.inputs[i]);
  }
  template <class T>
  T* output(size_t i = 0) const {
    return static_cast<T*>(memory_.outputs[i]);
  }
  const void* input(size_t i) const { return memory_.inputs[i]; }
  void* output() const { return memory_.outputs[0]; }
  void* packed() const { return memory_.packed; }
  int32_t* kept_accumulators() const { return memory_.accumulators; }

  int32_t value(const ZeroPoint& zero_point) const {
    if (zero_point.input < 0) return zero_point.value;
    const void* at = memory_.inputs[static_cast<size_t>(zero_point.input)];
    return zero_point.dtype == DType::s8 ? *static_cast<const int8_t*>(at) : *static_cast<const uint8_t*>(at);
  }

 private:
  virtual void pack() {}

  StepMemory memory_;
};

// Checks the step completely and chooses its kernels; throws q8::Error.
std::unique_ptr<LoadedStep> load_step(const Program& program, int64_t index, const LoadOptions& options);

#define Q8_STEP(kind) std::unique_ptr<LoadedStep> load_##kind(StepReader& reader, const LoadOptions& options);
#include "program/steps.inc"
#undef Q8_STEP

}  // namespace q8
