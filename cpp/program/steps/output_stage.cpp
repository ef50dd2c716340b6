// SPDX-License-Identifier: Apache-2.0
// What happens to a tile of accumulators.
#include "program/steps/output_stage.h"

#include <cstring>

#include "program/steps/units.h"

namespace q8 {

OutputStage::OutputStage(StepReader& reader, const Buffer& y, std::initializer_list<int64_t> lengths, int64_t channels,
                         Isa isa)
    : dtype_(y.dtype), channels_(channels), dequantize_(dequantize_kernel(isa)) {
  if (is_quantized(dtype_)) requantization_.emplace(reader, dtype_, lengths, Requantization::Rows::channels, isa);
  if (reader.has("accumulator_bits")) {
    accumulator_bits_ = static_cast<int32_t>(reader.integer("accumulator_bits", 16, 32));
    overflow_ = static_cast<Overflow>(reader.integer("overflow", 0, 1));
  }
  saturates_pairs_ = reader.has("saturates_pairs") && reader.flag("saturates_pairs");
  if (dtype_ == DType::f32) scale_ = reader.positive_f32_array("scale_bits", lengths);
}

size_t OutputStage::scratch_bytes(int64_t rows, int64_t columns) {
  return round_up_to_64(static_cast<size_t>(checked_mul(rows, columns)) * sizeof(int32_t));
}

AccumulatorTile OutputStage::tile(int64_t row, int64_t column, int64_t columns, void* y, int32_t* kept,
                                  void* scratch) const {
  const int64_t position = row * channels_ + column;
  if (kept != nullptr) return {kept + position, channels_};
  if (dtype_ == DType::s32) return {static_cast<int32_t*>(y) + position, channels_};
  return {static_cast<int32_t*>(scratch), columns};
}

void OutputStage::expect_pairs_of(const StepReader& reader, DType left, DType right) const {
  if (!saturates_pairs_) return;
  reader.require(overflow_ == Overflow::wrap, "saturates_pairs is for sums that wrap");
  reader.require(left == DType::u8 && right == DType::s8, "saturates_pairs is for uint8 times int8");
}

void OutputStage::narrow(const AccumulatorTile& tile, int64_t rows, int64_t columns) const {
  for (int64_t r = 0; r < rows; ++r) {
    int32_t* acc = tile.acc + r * tile.stride;
    for (int64_t c = 0; c < columns; ++c) acc[c] = wrapped_to(acc[c], accumulator_bits_);
  }
}

void OutputStage::finish(const AccumulatorTile& tile, int64_t row, int64_t rows, int64_t column, int64_t columns,
                         void* y) const {
  if (accumulator_bits_ < 32 && overflow_ == Overflow::wrap) narrow(tile, rows, columns);
  const int64_t position = row * channels_ + column;
  if (requantization_) {
    requantization_->run({.acc = tile.acc,
                          .acc_stride = tile.stride,
                          .y = static_cast<uint8_t*>(y) + position,
                          .y_stride = channels_,
                          .rows = rows,
                          .channel = column,
                          .channels = columns});
    return;
  }
  const int64_t scale_step = scale_.size() > 1 ? 1 : 0;
  const float* scale = scale_.data() + column * scale_step;
  for (int64_t r = 0; r < rows; ++r) {
    const int32_t* acc = tile.acc + r * tile.stride;
    if (dtype_ == DType::f32) {
      dequantize_.run({.x = acc,
                       .x_dtype = DType::s32,
                       .y = static_cast<float*>(y) + position + r * channels_,
                       .count = columns,
                       .scale = scale,
                       .zero_point = nullptr,
                       .parameter_step = scale_step,
                       .is_affine = false});
    } else if (int32_t* to = static_cast<int32_t*>(y) + position + r * channels_; to != acc) {
      std::memcpy(to, acc, static_cast<size_t>(columns) * sizeof(int32_t));
    }
  }
}

std::string OutputStage::kernels() const {
  if (is_quantized(dtype_)) return text(" + ", requantization_->kernel());
  return dtype_ == DType::f32 ? text(" + ", dequantize_.symbol) : "";
}

}  // namespace q8
