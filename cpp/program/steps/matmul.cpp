// SPDX-License-Identifier: Apache-2.0
// The step kind matmul: its family fills a tile of accumulators, the output stage turns it into y.
// b is packed at load, or, when it or its zero point is known at run time only, in a first phase of every run.
#include "kernels/matmul/matmul.h"

#include <algorithm>

#include "kernels/matmul_pairs/matmul_pairs.h"
#include "program/loaded_step.h"
#include "program/steps/output_stage.h"
#include "program/steps/units.h"

namespace q8 {
namespace {

constexpr int64_t columns_per_pack_unit = 64;

struct MatmulFields {
  MatmulShape shape;
  Shape y_leading, a_leading, b_leading;
  ZeroPoint a_zero_point, b_zero_point_input;
  bool packs_every_run;
};

void expect_broadcast(const StepReader& reader, const MatmulFields& fields) {
  for (size_t i = 0; i < fields.y_leading.size(); ++i) {
    const int64_t a = fields.a_leading[i], b = fields.b_leading[i], y = fields.y_leading[i];
    reader.require((a == b || a == 1 || b == 1) && y == std::max(a, b), "dimension ", i, " does not broadcast: a has ",
                   a, ", b has ", b, ", y has ", y);
  }
}

ZeroPoint read_zero_point_input(const StepReader& reader, int input, DType dtype, const char* name) {
  const Buffer& buffer = reader.input(static_cast<size_t>(input));
  reader.expect_dtype(buffer, dtype, name);
  reader.expect_shape(buffer, {1}, name);
  return {.value = 0, .input = input, .dtype = dtype};
}

MatmulFields read_fields(StepReader& reader) {
  const bool a_zero_point_is_input = reader.flag("has_a_zero_point_input");
  const bool b_zero_point_is_input = reader.flag("has_b_zero_point_input");
  reader.expect_counts(size_t{2} + a_zero_point_is_input + b_zero_point_is_input, 1);
  const Buffer &a = reader.input(0), &b = reader.input(1), &y = reader.output();
  reader.expect_quantized(a, "a");
  reader.expect_quantized(b, "b");
  const size_t rank = y.shape.size();
  reader.require(rank >= 2, "y must have at least 2 dimensions, found ", to_string(y.shape));
  reader.expect_rank(a, rank, "a");
  reader.expect_rank(b, rank, "b");
  const int64_t m = a.shape[rank - 2], k = a.shape[rank - 1], n = b.shape[rank - 1];
  reader.require(b.shape[rank - 2] == k && y.shape[rank - 2] == m && y.shape[rank - 1] == n,
                 "a[..., M, K], b[..., K, N] and y[..., M, N] do not agree: found ", to_string(a.shape), ", ",
                 to_string(b.shape), " and ", to_string(y.shape));
  reader.require(k <= INT32_MAX, "K must be below 2^31, found ", k);
  MatmulFields fields{.shape = {.m = m, .k = k, .n = n, .a_dtype = a.dtype, .b_dtype = b.dtype},
                      .y_leading = Shape(y.shape.begin(), y.shape.end() - 2),
                      .a_leading = Shape(a.shape.begin(), a.shape.end() - 2),
                      .b_leading = Shape(b.shape.begin(), b.shape.end() - 2),
                      .a_zero_point = {.value = reader.zero_point("a_zero_point", a.dtype)},
                      .b_zero_point_input = {},
                      .packs_every_run = !reader.input_is_constant(1) || b_zero_point_is_input};
  expect_broadcast(reader, fields);
  if (a_zero_point_is_input) fields.a_zero_point = read_zero_point_input(reader, 2, a.dtype, "the zero point of a");
  if (b_zero_point_is_input) {
    const int input = a_zero_point_is_input ? 3 : 2;
    fields.b_zero_point_input = read_zero_point_input(reader, input, b.dtype, "the zero point of b");
  }
  return fields;
}

std::vector<int32_t> read_bias(StepReader& reader, const MatmulShape& shape) {
  if (!reader.has_array("bias")) return {};
  const Array& bias = reader.array("bias", DType::s32);
  reader.require(bias.shape == Shape{1, shape.n} || bias.shape == Shape{shape.m, shape.n},
                 "the array bias must have the shape ", to_string({1, shape.n}), " or ", to_string({shape.m, shape.n}),
                 ", found ", to_string(bias.shape));
  return elements<int32_t>(bias);
}

// Number of the matrix, among those with these leading dimensions, that takes part in product number `product` of y.
int64_t matrix_number(int64_t product, const Shape& y_leading, const Shape& leading) {
  int64_t number = 0, stride = 1;
  for (size_t i = y_leading.size(); i-- > 0;) {
    if (leading[i] > 1) number += product % y_leading[i] * stride;
    stride *= leading[i];
    product /= y_leading[i];
  }
  return number;
}

class Matmul final : public LoadedStep {
 public:
  Matmul(StepReader& reader, const LoadOptions& options)
      : fields_(read_fields(reader)),
        shape_(fields_.shape),
        products_(element_count(fields_.y_leading)),
        b_count_(element_count(fields_.b_leading)),
        b_zero_point_(reader.zero_point_array("b_zero_point", {1, shape_.n}, shape_.b_dtype)),
        bias_(read_bias(reader, shape_)),
        stage_(reader, reader.output(), {1, shape_.n}, shape_.n, options.isa),
        kernel_(stage_.saturates_pairs() ? matmul_pairs_kernel(options.isa)
                                         : matmul_kernel(stage_.sum_isa(options.isa))),
        grid_({.rows = shape_.m, .columns = shape_.n, .line = 1, .row_bytes = shape_.k, .copies = products_},
              tile_limits(kernel_.isa), options.threads),
        packed_bytes_(round_up_to_64(kernel_.packed_bytes(shape_))),
        tile_bytes_(OutputStage::scratch_bytes(grid_.row_tile(), grid_.column_tile())) {
    stage_.expect_pairs_of(reader, shape_.a_dtype, shape_.b_dtype);
    reader.finish();
  }

  int phases() const override { return fields_.packs_every_run ? 2 : 1; }
  int64_t work(int phase) const override { return is_pack(phase) ? pack_units() : grid_.size() * products_; }
  size_t scratch_bytes() const override { return tile_bytes_ + kernel_.scratch_bytes(shape_, grid_.row_tile()); }
  size_t packed_bytes() const override {
    return static_cast<size_t>(checked_mul(static_cast<int64_t>(packed_bytes_), b_count_));
  }
  bool has_accumulators() const override { return true; }
  std::string kernels() const override { return kernel_.symbol + stage_.kernels(); }

  void run(int phase, int64_t begin, int64_t end, void* scratch) const override {
    for (int64_t unit = begin; unit < end; ++unit) {
      if (is_pack(phase)) {
        pack_columns(unit);
      } else {
        run_tile(grid_[unit % grid_.size()], unit / grid_.size(), static_cast<uint8_t*>(scratch));
      }
    }
  }

 private:
  bool is_pack(int phase) const { return phases() == 2 && phase == 0; }
  int64_t pack_units() const { return b_count_ * ceil_div(shape_.n, columns_per_pack_unit); }
  uint8_t* packed_matrix(int64_t number) const {
    return static_cast<uint8_t*>(packed()) + number * static_cast<int64_t>(packed_bytes_);
  }

  void pack() override {
    if (fields_.packs_every_run) return;
    for (int64_t unit = 0; unit < pack_units(); ++unit) pack_columns(unit);
  }

  // Matrix b number `number`; `run_time` is where its zero point is put if an input holds it.
  MatmulB matrix_b(int64_t number, int32_t* run_time) const {
    const void* b = input<uint8_t>(1) + number * shape_.k * shape_.n;
    if (fields_.b_zero_point_input.input >= 0) {
      *run_time = value(fields_.b_zero_point_input);
      return {.b = b, .zero_point = run_time, .zero_point_stride = 0};
    }
    return {.b = b, .zero_point = b_zero_point_.data(), .zero_point_stride = b_zero_point_.size() > 1 ? 1 : 0};
  }

  void pack_columns(int64_t unit) const {
    const int64_t across = ceil_div(shape_.n, columns_per_pack_unit);
    const int64_t column = unit % across * columns_per_pack_unit;
    int32_t run_time = 0;
    kernel_.pack(shape_, matrix_b(unit / across, &run_time), column, std::min(columns_per_pack_unit, shape_.n - column),
                 packed_matrix(unit / across));
  }

  void run_tile(const TileGrid::Tile& at, int64_t product, uint8_t* scratch) const {
    const int64_t a_number = matrix_number(product, fields_.y_leading, fields_.a_leading);
    const int64_t b_number = matrix_number(product, fields_.y_leading, fields_.b_leading);
    const int64_t row = product * shape_.m + at.row;  // of y seen as one matrix
    const AccumulatorTile tile = stage_.tile(row, at.column, at.columns, output(), kept_accumulators(), scratch);
    int32_t run_time = 0;
    kernel_.run({.shape = &shape_,
                 .a = input<uint8_t>(0) + a_number * shape_.m * shape_.k,
                 .a_zero_point = value(fields_.a_zero_point),
                 .b = matrix_b(b_number, &run_time),
                 .packed = packed_matrix(b_number),
                 .bias = bias_.empty() ? nullptr : bias_.data(),
                 .bias_stride = static_cast<int64_t>(bias_.size()) > shape_.n ? shape_.n : 0,
                 .row_begin = at.row,
                 .row_count = at.rows,
                 .column_begin = at.column,
                 .column_count = at.columns,
                 .acc = tile.acc,
                 .acc_stride = tile.stride,
                 .saturated_bits = stage_.saturated_bits(),
                 .scratch = scratch + tile_bytes_});
    stage_.finish(tile, row, at.rows, at.column, at.columns, output());
  }

  MatmulFields fields_;
  MatmulShape shape_;
  int64_t products_;
  int64_t b_count_;
  std::vector<int32_t> b_zero_point_;  // [1] or [N]
  std::vector<int32_t> bias_;          // none, [1, N] or [M, N]
  OutputStage stage_;
  const MatmulKernel& kernel_;
  TileGrid grid_;        // of one product
  size_t packed_bytes_;  // of one b
  size_t tile_bytes_;
};

}  // namespace

std::unique_ptr<LoadedStep> load_matmul(StepReader& reader, const LoadOptions& options) {
  return std::make_unique<Matmul>(reader, options);
}

}  // namespace q8
