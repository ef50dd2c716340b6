// SPDX-License-Identifier: Apache-2.0
// The step kind transpose.
#include "program/loaded_step.h"
#include "program/permutation.h"

namespace q8 {
namespace {

class Transpose final : public LoadedStep {
 public:
  Transpose(StepReader& reader, const LoadOptions& options)
      : permutation_(reader.input(0).shape, read_perm(reader), dtype_bytes(reader.input(0).dtype), options.isa) {
    reader.finish();
  }

  int64_t work(int) const override { return permutation_.units(); }
  std::string kernels() const override { return permutation_.kernel(); }

  void run(int, int64_t begin, int64_t end, void*) const override { permutation_.run(input(0), output(), begin, end); }

 private:
  static std::vector<int64_t> read_perm(StepReader& reader) {
    reader.expect_counts(1, 1);
    const Buffer &x = reader.input(0), &y = reader.output();
    const size_t rank = x.shape.size();
    reader.expect_dtype(y, x.dtype, "y");
    const std::vector<int64_t> perm = reader.integers("perm", rank, 0, static_cast<int64_t>(rank) - 1);
    Shape expected;
    std::vector<bool> seen(rank, false);
    for (const int64_t from : perm) {
      reader.require(!seen[static_cast<size_t>(from)], "perm must name each axis once, found ", from, " twice");
      seen[static_cast<size_t>(from)] = true;
      expected.push_back(x.shape[static_cast<size_t>(from)]);
    }
    reader.expect_shape(y, expected, "y");
    return perm;
  }

  Permutation permutation_;
};

}  // namespace

std::unique_ptr<LoadedStep> load_transpose(StepReader& reader, const LoadOptions& options) {
  return std::make_unique<Transpose>(reader, options);
}

}  // namespace q8
