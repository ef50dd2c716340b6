// SPDX-License-Identifier: Apache-2.0
// Random legal Programs of one step: one function per kind, and their list. Two draws are two statements, initializers
// or declarators: the order of arguments and of operands is up to the compiler.
#include "random_program.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "program_builder.h"

namespace q8 {
namespace {

// The fields of a requantization in stages; every other time with shifts up to both ends.
void staged(ProgramBuilder& b, int64_t lengths) {
  const int64_t first_shift = b.chance(40) ? 0 : b.between(1, 31);
  const bool is_wide = b.chance(50);
  std::vector<int32_t> multipliers, shifts;
  for (int64_t i = 0; i < lengths; ++i) {
    const int64_t shift = is_wide ? b.between(first_shift - 31, 62) : b.between(30, 44);
    const int64_t most = std::min<int64_t>((int64_t{1} << 31) >> std::max<int64_t>(-shift, 0), INT32_MAX);
    shifts.push_back(static_cast<int32_t>(shift));
    multipliers.push_back(static_cast<int32_t>(b.chance(10) ? b.pick({0, most}) : b.between(most / 2, most)));
  }
  b.array("multiplier", DType::s32, multipliers, {lengths});
  b.array("shift", DType::s32, shifts, {lengths});
  b.set("first_shift", first_shift);
  b.set("first_rounding", b.between(0, 9));
  b.set("rounding", b.between(0, 9));
  b.set("saturates", b.between(0, 1));
}

// The fields of a requantization of accumulators of this magnitude.
void requantization(ProgramBuilder& b, DType dtype, float magnitude, int64_t lengths, bool has_channels = true) {
  const int64_t rule = b.between(0, 6);
  if (rule > 0) b.set("requantize", rule);  // absent: rule 0
  if (rule == 0) {
    b.scale_array("scale_bits", 1.0f / magnitude, lengths);
  } else if (rule == 6) {
    b.scale_array("scale_bits", b.chance(20) ? 1e9f : 1.0f / magnitude, lengths);
    if (b.chance(50)) b.scale_array("bias_bits", magnitude, lengths);
  } else if (rule == 4) {
    std::vector<int64_t> bits;
    for (int64_t i = 0; i < lengths; ++i) bits.push_back(std::bit_cast<int64_t>(double{b.scale(1.0f / magnitude)}));
    b.array("scale64_bits", DType::s64, bits, {lengths});
  } else {
    if (b.chance(20)) b.set("y_zero_point", b.between(INT32_MIN, INT32_MAX));
    if (rule == 5) {
      staged(b, lengths);
    } else {
      b.int32_array("multiplier", b.chance(10) ? 0 : 1 << 30, INT32_MAX, {lengths});
      const int64_t least = b.chance(20) ? 1 : 36, most = b.chance(20) ? 62 : 44;
      b.int32_array("shift", least, most, {lengths});
      if (has_channels && rule > 1 && b.chance(50)) b.set("double_rounding_from", b.between(0, lengths + 1));
    }
  }
  b.set_range(dtype);
}

// Do pairs of products saturate? Then sums do not.
bool saturating_pairs(ProgramBuilder& b, DType x_dtype, DType w_dtype) {
  const bool saturates = x_dtype == DType::u8 && w_dtype == DType::s8 && b.chance(50);
  if (saturates) b.set("saturates_pairs", 1);
  return saturates;
}

// The dtype of y, after its fields have been set.
DType output_stage(ProgramBuilder& b, float magnitude, int64_t scales, bool saturates_pairs) {
  const DType dtype = b.chance(60) ? b.quantized() : b.chance(50) ? DType::s32 : DType::f32;
  if (dtype == DType::f32) b.scale_array("scale_bits", 1.0f / magnitude, scales);
  if (is_quantized(dtype)) requantization(b, dtype, magnitude, scales);
  if (b.chance(30)) {
    b.set("accumulator_bits", b.between(16, 32));
    b.set("overflow", saturates_pairs ? 0 : b.between(0, 1));
  }
  return dtype;
}

// A window over H x W. Sets strides, dilations and pads: any, or such that each position has a tap inside.
enum class Reach : uint8_t { inside, anywhere, anywhere_and_ceil };
struct Extent {
  int64_t h, w, kh, kw, oh, ow;
};
Extent window(ProgramBuilder& b, Reach reach) {
  Extent e{.h = b.between(1, 9), .w = b.between(1, 9), .kh = b.between(1, 4), .kw = b.between(1, 4), .oh = 0, .ow = 0};
  const int64_t dilation_h = b.between(1, 2), dilation_w = b.between(1, 2);
  const int64_t stride_h = b.between(1, 3), stride_w = b.between(1, 3);
  const int64_t last_h = (e.kh - 1) * dilation_h, last_w = (e.kw - 1) * dilation_w;  // the taps furthest from the first
  std::vector<int64_t> pads;
  for (const int64_t last : {last_h, last_w, last_h, last_w}) {
    pads.push_back(b.between(0, reach == Reach::inside ? std::min<int64_t>(last, 3) : 3));
  }
  e.h = std::max(e.h, last_h + 1);
  e.w = std::max(e.w, last_w + 1);
  const bool ceil = reach == Reach::anywhere_and_ceil && b.chance(40);
  e.oh = (e.h + pads[0] + pads[2] - (last_h + 1) + (ceil ? stride_h - 1 : 0)) / stride_h + 1;
  e.ow = (e.w + pads[1] + pads[3] - (last_w + 1) + (ceil ? stride_w - 1 : 0)) / stride_w + 1;
  b.set("strides", {stride_h, stride_w});
  b.set("dilations", {dilation_h, dilation_w});
  b.set("pads", pads);
  return e;
}

void convolution(ProgramBuilder& b, bool depthwise) {
  const Extent e = window(b, Reach::anywhere);
  const int64_t group = depthwise ? b.pick({1, 3, 8, 16, 17, 24, 33, 70}) : b.pick({1, 1, 1, 2, 3});
  const int64_t c_per_group = depthwise ? 1 : b.pick({1, 2, 3, 4, 7, 16, 17, 65, 330});
  const int64_t o = group * (depthwise ? b.pick({1, 1, 2, 3}) : b.pick({1, 3, 15, 16, 17, 33, 48}));
  const DType x_dtype = b.quantized(), w_dtype = b.quantized();
  const int64_t n = b.between(1, 2);
  b.input(x_dtype, {n, e.h, e.w, group * c_per_group});
  b.input(w_dtype, {o, e.kh, e.kw, c_per_group}, true);
  if (b.chance(30)) {
    b.input(x_dtype, {1});
  } else {
    b.set("x_zero_point", b.zero_point(x_dtype));
  }
  if (!depthwise) b.set("group", group);
  const bool symmetric = b.chance(40) && w_dtype == DType::s8;
  b.int32_array("w_zero_point", symmetric ? 0 : dtype_min(w_dtype), symmetric ? 0 : dtype_max(w_dtype), {o});
  if (b.chance(70)) b.int32_array("bias", INT32_MIN, INT32_MAX, {o});
  const bool saturates_pairs = !depthwise && saturating_pairs(b, x_dtype, w_dtype);
  b.output(output_stage(b, 3000.0f, o, saturates_pairs), {n, e.oh, e.ow, o});
}

void conv2d(ProgramBuilder& b) { convolution(b, false); }
void depthwise_conv2d(ProgramBuilder& b) { convolution(b, true); }

void matmul(ProgramBuilder& b) {
  const int64_t m = b.pick({1, 2, 5, 9, 17}), k = b.pick({1, 2, 3, 4, 17, 64, 101, 650}),
                n = b.pick({1, 7, 16, 17, 33, 70});
  const DType a_dtype = b.quantized(), b_dtype = b.quantized();
  Shape a_shape, b_shape, y_shape;
  for (const int64_t size : b.shape(0, 2)) {
    a_shape.push_back(b.chance(30) ? 1 : size);
    b_shape.push_back(b.chance(30) ? 1 : size);
    y_shape.push_back(std::max(a_shape.back(), b_shape.back()));
  }
  a_shape.insert(a_shape.end(), {m, k});
  b_shape.insert(b_shape.end(), {k, n});
  y_shape.insert(y_shape.end(), {m, n});
  b.input(a_dtype, a_shape);
  b.input(b_dtype, b_shape, b.chance(50));
  const bool a_zero_point_is_input = b.chance(30), b_zero_point_is_input = b.chance(30);
  if (a_zero_point_is_input) b.input(a_dtype, {1});
  if (b_zero_point_is_input) b.input(b_dtype, {1});
  b.set("a_zero_point", b.zero_point(a_dtype));
  b.set("has_a_zero_point_input", a_zero_point_is_input);
  b.set("has_b_zero_point_input", b_zero_point_is_input);
  b.int32_array("b_zero_point", dtype_min(b_dtype), dtype_max(b_dtype), {b.chance(50) ? 1 : n});
  if (b.chance(60)) b.int32_array("bias", INT32_MIN, INT32_MAX, {b.chance(50) ? 1 : m, n});
  const bool saturates_pairs = saturating_pairs(b, a_dtype, b_dtype);
  b.output(output_stage(b, 3000.0f, b.chance(50) ? 1 : n, saturates_pairs), y_shape);
}

// Inputs a and b of these dtypes that broadcast; returns the shape of y.
Shape operands(ProgramBuilder& b, DType a_dtype, DType b_dtype) {
  Shape a_shape, b_shape, y_shape;
  for (const int64_t size : b.shape(0, 4)) {
    a_shape.push_back(b.chance(25) ? 1 : size);
    b_shape.push_back(b.chance(25) ? 1 : size);
    y_shape.push_back(std::max(a_shape.back(), b_shape.back()));
  }
  b.input(a_dtype, a_shape);
  b.input(b_dtype, b_shape);
  return y_shape;
}

void add_fma(ProgramBuilder& b) {
  const DType dtype = b.quantized();
  b.output(dtype, operands(b, dtype, dtype));
  b.set_f32("a_ratio_bits", b.scale(0.7f));
  b.set_f32("b_ratio_bits", b.scale(0.7f));
  b.set_f32("fixed_bits", static_cast<float>(b.between(-100, 100)) * 0.37f);
  b.set_bounds(dtype);
}

void add_rescaled(ProgramBuilder& b) {
  const DType a_dtype = b.quantized(), b_dtype = b.quantized(), y_dtype = b.quantized();
  b.output(y_dtype, operands(b, a_dtype, b_dtype));
  b.int32_array("a_rescaled", INT32_MIN, INT32_MAX, {256});
  b.int32_array("b_rescaled", INT32_MIN, INT32_MAX, {256});
  requantization(b, y_dtype, 1e7f, 1, false);
}

void mul(ProgramBuilder& b) {
  const DType a_dtype = b.quantized(), b_dtype = b.quantized(), y_dtype = b.quantized();
  b.output(y_dtype, operands(b, a_dtype, b_dtype));
  b.set("a_zero_point", b.zero_point(a_dtype));
  b.set("b_zero_point", b.zero_point(b_dtype));
  requantization(b, y_dtype, 100.0f, 1, false);
}

void mul_ratio(ProgramBuilder& b) {
  const DType a_dtype = b.quantized(), b_dtype = b.quantized(), y_dtype = b.quantized();
  b.output(y_dtype, operands(b, a_dtype, b_dtype));
  b.set("a_zero_point", b.zero_point(a_dtype));
  b.set("b_zero_point", b.zero_point(b_dtype));
  b.set_f32("ratio_bits", b.scale(0.01f));
  b.set("fused", b.between(0, 1));
  b.set_range(y_dtype);
}

void float_binary(ProgramBuilder& b) {
  const DType a_dtype = b.quantized(), b_dtype = b.quantized(), y_dtype = b.quantized();
  b.output(y_dtype, operands(b, a_dtype, b_dtype));
  b.set("operator", b.between(0, 2));
  b.set("a_zero_point", b.zero_point(a_dtype));
  b.set("b_zero_point", b.zero_point(b_dtype));
  for (const char* name : {"a_scale_bits", "b_scale_bits", "y_scale_bits"}) b.set_f32(name, b.scale(0.1f));
  if (b.chance(50)) b.set("rounding", b.pick({0, 2, 4, 5}));
  b.set_range(y_dtype);
}

void pool(ProgramBuilder& b, DType dtype, Reach reach) {
  const int64_t n = b.between(1, 2), c = b.pick({1, 8, 33});
  const Extent e = window(b, reach);
  b.set("kernel", {e.kh, e.kw});
  b.input(dtype, {n, e.h, e.w, c});
  b.output(dtype, {n, e.oh, e.ow, c});
}

void average_pool(ProgramBuilder& b) {
  const DType dtype = b.quantized();
  const bool count_include_pad = b.chance(50);
  pool(b, dtype, count_include_pad ? Reach::anywhere_and_ceil : Reach::inside);
  b.set("count_include_pad", count_include_pad);
  if (b.chance(60)) b.set("form", b.between(0, 2));
  b.set("x_zero_point", b.zero_point(dtype));
  b.set_f32("x_scale_bits", b.scale(0.1f));
  b.set_f32("y_scale_bits", b.scale(0.1f));
  b.set_range(dtype);
}

void average_pool_raw(ProgramBuilder& b) {
  const DType dtype = b.quantized();
  pool(b, dtype, Reach::inside);
  if (b.chance(50)) b.set("x_zero_point", b.zero_point(dtype));
  if (b.chance(50)) b.set("division", b.between(0, 1));
  b.set_bounds(dtype);
}

void average_pool_scaled(ProgramBuilder& b) {
  const DType dtype = b.quantized();
  pool(b, dtype, Reach::anywhere_and_ceil);
  b.set("x_zero_point", b.zero_point(dtype));
  b.set_f32("factor_bits", b.scale(0.1f));
  b.set("rounding", b.between(0, 2));
  if (b.chance(50)) b.set("inside_from", b.between(0, 34));
  b.set_range(dtype);
}

void max_pool(ProgramBuilder& b) { pool(b, b.quantized(), Reach::inside); }

void mean(ProgramBuilder& b) {
  const DType x_dtype = b.quantized(), y_dtype = b.quantized();
  const int64_t a = b.between(1, 3), r = b.pick({1, 49}), columns = b.pick({1, 10, 1100});
  b.input(x_dtype, {a, r, columns});
  b.output(y_dtype, {a, columns});
  b.set("x_zero_point", b.zero_point(x_dtype));
  requantization(b, y_dtype, 50.0f, 1);
}

void mean_affine(ProgramBuilder& b) {
  const DType x_dtype = b.quantized(), y_dtype = b.quantized();
  const int64_t a = b.between(1, 3), r = b.pick({1, 49}), columns = b.pick({1, 10, 1100});
  b.input(x_dtype, {a, r, columns});
  b.output(y_dtype, {a, columns});
  b.set_f32("scale_bits", b.scale(0.1f));
  b.set_f32("addend_bits", static_cast<float>(b.between(-300, 300)));
  b.set_bounds(y_dtype);
}

void float_mean(ProgramBuilder& b) {
  const DType x_dtype = b.quantized(), y_dtype = b.quantized();
  const int64_t rows = b.pick({1, 3, 40}), length = b.between(1, 30);
  b.input(x_dtype, {rows, length});
  b.output(y_dtype, {rows});
  b.set("order", b.between(0, 3));
  b.set("x_zero_point", b.zero_point(x_dtype));
  b.set_f32("x_scale_bits", b.scale(0.1f));
  b.set_f32("y_scale_bits", b.scale(0.1f));
  b.set_range(y_dtype);
}

void float_softmax(ProgramBuilder& b) {
  const DType x_dtype = b.quantized(), y_dtype = b.quantized();
  const Shape shape{b.between(1, 3), b.pick({1, 2, 50}), b.between(1, 3)};
  b.input(x_dtype, shape);
  b.output(y_dtype, shape);
  b.set("x_zero_point", b.zero_point(x_dtype));
  b.set_f32("x_scale_bits", b.scale(0.1f));
  b.set_f32("y_scale_bits", b.scale(0.01f));
  b.set_range(y_dtype);
}

void lut(ProgramBuilder& b) {
  const DType y_dtype = b.quantized();
  const Shape shape = b.shape(0, 4);
  b.input(b.quantized(), shape);
  b.output(y_dtype, shape);
  std::vector<uint8_t> table;
  for (int i = 0; i < 256; ++i) table.push_back(static_cast<uint8_t>(b.between(0, 255)));
  b.array("table", y_dtype, table, {256});
}

void softmax(ProgramBuilder& b) {
  const DType y_dtype = b.quantized();
  const Shape shape{b.between(1, 3), b.pick({1, 2, 50}), b.between(1, 3)};
  b.input(b.quantized(), shape);
  b.output(y_dtype, shape);
  std::vector<uint32_t> table;
  for (int i = 0; i < 256; ++i) table.push_back(std::bit_cast<uint32_t>(std::exp(static_cast<float>(i - 255) * 0.1f)));
  b.array("table", DType::u32, table, {256});
  b.set_f32("numerator_bits", b.chance(20) ? 3e38f : 255.0f);
  b.set_range(y_dtype);
}

void softmax_fixed(ProgramBuilder& b) {
  const DType y_dtype = b.quantized();
  const Shape shape{b.between(1, 3), b.pick({1, 2, 50, 4095}), b.between(1, 3)};
  b.input(b.quantized(), shape);
  b.output(y_dtype, shape);
  std::vector<int32_t> table;
  for (int i = 0; i < 255; ++i) table.push_back(static_cast<int32_t>(b.between(0, b.chance(50) ? INT32_MAX : 9)));
  table.push_back(static_cast<int32_t>(b.between(1 << 30, INT32_MAX)));
  b.array("table", DType::s32, table, {256});
  b.set_bounds(y_dtype);
}

void softmax_reciprocal(ProgramBuilder& b) {
  const DType y_dtype = b.quantized();
  const Shape shape{b.between(1, 3), b.pick({1, 2, 50}), b.between(1, 3)};
  b.input(b.quantized(), shape);
  b.output(y_dtype, shape);
  std::vector<uint32_t> table;
  for (int i = 0; i < 256; ++i) table.push_back(std::bit_cast<uint32_t>(std::exp(static_cast<float>(i - 255) * 0.1f)));
  b.array("table", DType::u32, table, {256});
  b.set_bounds(y_dtype);
}

void quantize(ProgramBuilder& b) {
  const DType y_dtype = b.quantized();
  if (b.chance(50)) b.set("rounding", b.between(0, 4));
  const Shape shape{b.between(1, 3), b.pick({1, 3, 16}), b.pick({1, 5})};
  const int64_t parameters = b.chance(50) ? 1 : shape[1];
  b.input(DType::f32, shape);
  b.output(y_dtype, shape);
  b.scale_array("scale_bits", 0.05f, parameters);
  b.int32_array("zero_point", dtype_min(y_dtype), dtype_max(y_dtype), {parameters});
  b.set_bounds(y_dtype);
}

void dequantize(ProgramBuilder& b) {
  const DType x_dtype = b.chance(60) ? b.quantized() : DType::s32;
  const Shape shape{b.between(1, 3), b.pick({1, 3, 16}), b.pick({1, 5})};
  const int64_t parameters = b.chance(50) ? 1 : shape[1];
  b.input(x_dtype, shape);
  b.output(DType::f32, shape);
  b.scale_array("scale_bits", 0.05f, parameters);
  b.int32_array("zero_point", INT32_MIN, INT32_MAX, {parameters});
  if (is_quantized(x_dtype) && b.chance(50)) b.set("affine", b.between(0, 1));
}

void dynamic_quantize(ProgramBuilder& b) {
  const Shape shape = b.shape(0, 4);
  b.input(DType::f32, shape);
  b.output(DType::u8, shape);
  b.output(DType::f32, {1});
  b.output(DType::u8, {1});
}

void transpose(ProgramBuilder& b) {
  const DType dtype = b.any_dtype();
  const Shape x = b.shape(0, 5);
  std::vector<int64_t> perm;
  Shape y;
  for (size_t i = 0; i < x.size(); ++i) {
    perm.insert(perm.begin() + b.between(0, static_cast<int64_t>(i)), static_cast<int64_t>(i));
  }
  for (const int64_t from : perm) y.push_back(x[static_cast<size_t>(from)]);
  b.input(dtype, x);
  b.output(dtype, y);
  b.set("perm", perm);
}

void gather(ProgramBuilder& b) {
  const DType dtype = b.any_dtype();
  const Shape x = b.shape(1, 4), y = b.shape(static_cast<int64_t>(x.size()), static_cast<int64_t>(x.size()));
  const int64_t least = b.chance(50) ? -1 : 0;
  std::vector<int64_t> index;
  for (size_t axis = 0; axis < x.size(); ++axis) {
    for (int64_t i = 0; i < y[axis]; ++i) index.push_back(b.between(least, x[axis] - 1));
  }
  b.input(dtype, x);
  b.output(dtype, y);
  b.array("index", DType::s64, index, {static_cast<int64_t>(index.size())});
  b.set("fill", dtype == DType::s8 ? -7 : 7);
}

void concat(ProgramBuilder& b) {
  const DType dtype = b.any_dtype();
  Shape y = b.shape(1, 4);
  const int64_t axis = b.between(0, static_cast<int64_t>(y.size()) - 1);
  y[static_cast<size_t>(axis)] = 0;
  for (int64_t inputs = b.between(1, 4); inputs > 0; --inputs) {
    Shape x = y;
    x[static_cast<size_t>(axis)] = b.between(1, 5);
    y[static_cast<size_t>(axis)] += x[static_cast<size_t>(axis)];
    b.input(dtype, x);
  }
  b.output(dtype, y);
  b.set("axis", axis);
}

void copy(ProgramBuilder& b) {
  const DType dtype = b.any_dtype();
  const Shape shape = b.shape(0, 4);
  b.input(dtype, shape);
  b.output(dtype, {element_count(shape)});
}

struct Maker {
  const char* kind;
  void (*make)(ProgramBuilder& b);
};

constexpr Maker makers[] = {
#define Q8_STEP(kind) {#kind, kind},
#include "program/steps.inc"
#undef Q8_STEP
};

}  // namespace

RandomProgram random_program(const std::string& kind, uint64_t seed) {
  for (const Maker& maker : makers) {
    if (kind != maker.kind) continue;
    ProgramBuilder builder(kind, seed);
    maker.make(builder);
    return builder.finish();
  }
  throw Error("no random Program of the kind " + kind);
}

}  // namespace q8
