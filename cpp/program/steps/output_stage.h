// SPDX-License-Identifier: Apache-2.0
// What happens to a tile of accumulators: requantized, kept as int32, or scaled to float32; and recorded on request.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include "kernels/dequantize/dequantize.h"
#include "numerics/accumulator.h"
#include "program/step_reader.h"
#include "program/steps/requantization.h"

namespace q8 {

// A place for accumulators[row][column].
struct AccumulatorTile {
  int32_t* acc;
  int64_t stride;
};

class OutputStage {
 public:
  // Reads the fields of the output stage that the dtype of y asks for. y is seen as a matrix with `channels` columns.
  OutputStage(StepReader& reader, const Buffer& y, std::initializer_list<int64_t> lengths, int64_t channels, Isa isa);

  static size_t scratch_bytes(int64_t rows, int64_t columns);

  // Where the compute kernel shall write the tile that begins at this row and column of y: the memory that keeps the
  // accumulators if there is one, y itself if it is int32, else the scratch memory of the thread.
  AccumulatorTile tile(int64_t row, int64_t column, int64_t columns, void* y, int32_t* kept, void* scratch) const;

  // Turns the tile into elements of y.
  void finish(const AccumulatorTile& tile, int64_t row, int64_t rows, int64_t column, int64_t columns, void* y) const;

  // Sums that saturate depend on their order, which only the reference kernels keep. 0: they wrap.
  int32_t saturated_bits() const { return overflow_ == Overflow::saturate ? accumulator_bits_ : 0; }
  bool saturates_pairs() const { return saturates_pairs_; }
  Isa sum_isa(Isa isa) const { return overflow_ == Overflow::saturate ? Isa::reference : isa; }

  // Pairs saturate in products of uint8 by int8 only, and where the step knows the order of its products.
  void expect_pairs_of(const StepReader& reader, DType left, DType right) const;

  // " + requantize_avx2", or nothing.
  std::string kernels() const;

 private:
  void narrow(const AccumulatorTile& tile, int64_t rows, int64_t columns) const;

  DType dtype_;
  int64_t channels_;
  int32_t accumulator_bits_ = 32;
  Overflow overflow_ = Overflow::wrap;
  bool saturates_pairs_ = false;
  std::vector<float> scale_;  // for float32
  std::optional<Requantization> requantization_;
  const DequantizeKernel& dequantize_;
};

}  // namespace q8
