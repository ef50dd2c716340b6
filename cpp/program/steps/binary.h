// SPDX-License-Identifier: Apache-2.0
// What the steps of two quantized operands share: the runs of their broadcast, cut into units of work.
#pragma once

#include <algorithm>
#include <string>

#include "kernels/kernel.h"
#include "program/loaded_step.h"
#include "program/steps/broadcast.h"
#include "program/steps/requantization.h"
#include "program/steps/units.h"

namespace q8 {

// The operands and the runs. The constructor of a step fills in the rest of args_.
template <class Args>
class BroadcastStep : public LoadedStep {
 public:
  int64_t work(int) const override { return element_units(broadcast_.size()); }

 protected:
  BroadcastStep(const StepReader& reader, const Kernel<Args>& kernel) : broadcast_(check(reader)), kernel_(kernel) {
    args_.a_step = broadcast_.a_step();
    args_.b_step = broadcast_.b_step();
  }

  // Runs the kernel along each run of the elements [first, first + elements); set_target says where its results go.
  template <class SetTarget>
  void for_each_run(int64_t first, int64_t elements, const SetTarget& set_target) const {
    broadcast_.for_each_run(first, elements, [&](int64_t a, int64_t b, int64_t y, int64_t count) {
      Args args = args_;
      args.a = input<uint8_t>(0) + a;
      args.b = input<uint8_t>(1) + b;
      args.count = count;
      set_target(args, y);
      kernel_.run(args);
    });
  }

  Broadcast broadcast_;
  const Kernel<Args>& kernel_;
  Args args_{};  // all but the operands, the results and the count

 private:
  static const StepReader& check(const StepReader& reader) {
    reader.expect_counts(2, 1);
    reader.expect_quantized(reader.input(0), "a");
    reader.expect_quantized(reader.input(1), "b");
    reader.expect_quantized(reader.output(), "y");
    return reader;
  }
};

// A kernel that writes quantized values.
template <class Args>
class BinaryStep : public BroadcastStep<Args> {
 public:
  using BroadcastStep<Args>::BroadcastStep;

  std::string kernels() const override { return this->kernel_.symbol; }

  void run(int, int64_t begin, int64_t end, void*) const override {
    uint8_t* values = this->template output<uint8_t>();
    for_element_units(this->broadcast_.size(), begin, end, [this, values](int64_t first, int64_t elements) {
      this->for_each_run(first, elements, [values](Args& args, int64_t y) { args.y = values + y; });
    });
  }
};

// A kernel that fills accumulators, tile by tile, which are then requantized.
template <class Args>
class RequantizedBinaryStep : public BroadcastStep<Args> {
 public:
  size_t scratch_bytes() const override { return elements_per_tile * sizeof(int32_t); }
  std::string kernels() const override { return text(this->kernel_.symbol, " + ", requantization_.kernel()); }

  void run(int, int64_t begin, int64_t end, void* scratch) const override {
    int32_t* acc = static_cast<int32_t*>(scratch);
    for_element_units(this->broadcast_.size(), begin, end, [this, acc](int64_t first, int64_t elements) {
      for (int64_t at = first; at < first + elements; at += elements_per_tile) {
        run_tile(at, std::min(elements_per_tile, first + elements - at), acc);
      }
    });
  }

 protected:
  RequantizedBinaryStep(StepReader& reader, const Kernel<Args>& kernel, Isa isa)
      : BroadcastStep<Args>(reader, kernel),
        requantization_(reader, reader.output().dtype, {1}, Requantization::Rows::elements, isa) {}

 private:
  static constexpr int64_t elements_per_tile = 4096;  // 16 KiB of accumulators

  void run_tile(int64_t first, int64_t elements, int32_t* acc) const {
    this->for_each_run(first, elements, [first, acc](Args& args, int64_t y) { args.acc = acc + (y - first); });
    requantization_.run({.acc = acc,
                         .acc_stride = elements,
                         .y = this->template output<uint8_t>() + first,
                         .y_stride = elements,
                         .rows = 1,
                         .channel = 0,
                         .channels = elements});
  }

  Requantization requantization_;
};

}  // namespace q8
