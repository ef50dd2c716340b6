// SPDX-License-Identifier: Apache-2.0
// The step kind mul: the family multiply fills a run of accumulators, which is then requantized.
#include "kernels/multiply/multiply.h"
#include "program/loaded_step.h"
#include "program/steps/broadcast.h"
#include "program/steps/requantization.h"
#include "program/steps/units.h"

namespace q8 {
namespace {

constexpr int64_t elements_per_tile = 4096;  // 16 KiB of accumulators

class Mul final : public LoadedStep {
 public:
  Mul(StepReader& reader, const LoadOptions& options)
      : broadcast_(check(reader)),
        requantization_(reader, reader.output().dtype, {1}, Requantization::Rows::elements, options.isa),
        kernel_(multiply_kernel(options.isa)) {
    args_.a_step = broadcast_.a_step();
    args_.b_step = broadcast_.b_step();
    args_.a_dtype = reader.input(0).dtype;
    args_.b_dtype = reader.input(1).dtype;
    args_.a_zero_point = reader.zero_point("a_zero_point", args_.a_dtype);
    args_.b_zero_point = reader.zero_point("b_zero_point", args_.b_dtype);
    reader.finish();
  }

  int64_t work(int) const override { return element_units(broadcast_.size()); }
  size_t scratch_bytes() const override { return elements_per_tile * sizeof(int32_t); }
  std::string kernels() const override { return text(kernel_.symbol, " + ", requantization_.kernel()); }

  void run(int, int64_t begin, int64_t end, void* scratch) const override {
    int32_t* acc = static_cast<int32_t*>(scratch);
    for_element_units(broadcast_.size(), begin, end, [this, acc](int64_t first, int64_t elements) {
      for (int64_t at = first; at < first + elements; at += elements_per_tile) {
        run_tile(at, std::min(elements_per_tile, first + elements - at), acc);
      }
    });
  }

 private:
  static const StepReader& check(const StepReader& reader) {
    reader.expect_counts(2, 1);
    reader.expect_quantized(reader.input(0), "a");
    reader.expect_quantized(reader.input(1), "b");
    reader.expect_quantized(reader.output(), "y");
    return reader;
  }

  void run_tile(int64_t first, int64_t elements, int32_t* acc) const {
    broadcast_.for_each_run(first, elements, [this, first, acc](int64_t a, int64_t b, int64_t y, int64_t count) {
      MultiplyArgs args = args_;
      args.a = input<uint8_t>(0) + a;
      args.b = input<uint8_t>(1) + b;
      args.acc = acc + (y - first);
      args.count = count;
      kernel_.run(args);
    });
    requantization_.run({.acc = acc,
                         .acc_stride = elements,
                         .y = output<uint8_t>() + first,
                         .y_stride = elements,
                         .rows = 1,
                         .channel = 0,
                         .channels = elements});
  }

  Broadcast broadcast_;
  Requantization requantization_;
  const MultiplyKernel& kernel_;
  MultiplyArgs args_{};  // all but the operands, the accumulators and the count
};

}  // namespace

std::unique_ptr<LoadedStep> load_mul(StepReader& reader, const LoadOptions& options) {
  return std::make_unique<Mul>(reader, options);
}

}  // namespace q8
