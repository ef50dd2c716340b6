// SPDX-License-Identifier: Apache-2.0
// Convolutions and products of chosen shapes, where the SIMD kernels take another way: every ISA, on one thread and on
// two, gives the sums of the reference kernels. Every pair of dtypes, drawn data and the largest; biases make sums
// wrap. Digests of the reference results are printed, to compare processors. Usage: q8emu_shapes [first seed]
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/cpu.h"
#include "base/error.h"
#include "program_builder.h"
#include "run_program.h"

namespace {

using namespace q8;

// A convolution. Group 0 is depthwise.
struct Convolution {
  int64_t h, w, c, o;
  std::vector<int64_t> kernel{3, 3}, strides{1, 1}, dilations{1, 1}, pads{1, 1, 1, 1};
  int64_t group = 1, batch = 1;
};

const std::vector<int64_t> none{0, 0, 0, 0};

std::vector<Convolution> convolutions() {
  std::vector<Convolution> all{
      // runs of lengths around 4 and 16 bytes, columns around a block of them, groups of pixels of every size
      {4, 1, 1, 1},
      {4, 5, 3, 7},
      {4, 6, 5, 8},
      {4, 7, 7, 9},
      {3, 9, 2, 15, {1, 2}},
      {3, 17, 16, 17, {1, 1}, {1, 1}, {1, 1}, none},
      // pointwise, with and without gaps between the windows; padded; images of one pixel
      {7, 8, 18, 33, {1, 1}, {1, 1}, {1, 1}, none, 1, 2},
      {7, 8, 18, 33, {1, 1}, {2, 2}, {1, 1}, none, 1, 2},
      {7, 8, 20, 33, {1, 1}, {3, 3}, {1, 1}, none, 1, 2},
      {3, 3, 16, 16, {1, 1}, {1, 1}, {1, 1}, {2, 1, 0, 3}},
      {1, 1, 40, 20, {1, 1}, {1, 1}, {1, 1}, none, 1, 9},
      {5, 15, 6, 17, {1, 7}, {1, 1}, {1, 1}, {0, 3, 0, 3}},
      {15, 5, 6, 17, {7, 1}, {1, 1}, {1, 1}, {3, 0, 3, 0}},
      {9, 13, 3, 5, {3, 2}, {1, 4}, {1, 1}, {2, 0, 1, 3}},
      {9, 9, 5, 16, {3, 3}, {1, 1}, {2, 3}, {2, 3, 2, 3}},
      {12, 12, 2, 6, {3, 3}, {2, 3}, {3, 2}, {3, 0, 1, 2}},
      {4, 4, 3, 4, {3, 3}, {1, 1}, {6, 6}, {7, 7, 7, 7}},
      {2, 2, 3, 4, {2, 2}, {1, 1}, {1, 1}, {5, 4, 3, 5}},
      // deeper than a piece of the depth: many runs, one long run, with a tail
      {3, 4, 400, 16, {3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}, 1, 2},
      {1, 3, 5203, 17, {1, 1}, {1, 1}, {1, 1}, none, 1, 3},
      // more pixels than a tile, with rows and images that a tile cuts
      {3, 301, 2, 40},
      {9, 37, 4, 65, {3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}, 1, 2},
      // groups
      {6, 6, 12, 20, {3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}, 4},
      {7, 7, 6, 3, {3, 3}, {2, 2}, {1, 1}, {1, 1, 1, 1}, 3},
      {5, 5, 4, 12, {3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}, 4},
      // depthwise: several outputs per channel, dilated, wide, cut by tiles, padding alone
      {6, 6, 5, 15, {3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}, 0},
      {6, 6, 16, 32, {3, 3}, {2, 2}, {1, 1}, {1, 1, 1, 1}, 0},
      {9, 9, 10, 10, {3, 3}, {1, 1}, {2, 3}, {2, 3, 2, 3}, 0},
      {4, 300, 33, 33, {3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}, 0},
      {19, 23, 66, 66, {3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}, 0, 2},
      {3, 20, 8, 8, {1, 7}, {1, 1}, {1, 1}, {0, 3, 0, 3}, 0},
      {2, 2, 16, 16, {2, 2}, {1, 1}, {1, 1}, {5, 4, 3, 5}, 0}};
  for (const int64_t w : {1, 2, 7, 8, 9, 11, 12, 13}) all.push_back({9, w, 3, 16});  // a first layer
  for (const int64_t k : {2, 3, 5}) {  // windows that overlap, touch, and leave gaps
    for (const int64_t s : {1, 2, 3}) all.push_back({11, 10, 4, 8, {k, k}, {s, s}, {1, 1}, {k / 2, 0, 0, k / 2}});
  }
  for (const int64_t c : {1, 3, 7, 8, 9, 15, 16, 17, 24, 33}) {
    all.push_back({5, 9, c, c, {3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}, 0});
  }
  for (const int64_t k : {1, 2, 3, 5}) {
    for (const int64_t s : {1, 2, 3}) all.push_back({12, 11, 20, 20, {k, k}, {s, s}, {1, 1}, {1, 0, k / 2, 1}, 0});
  }
  return all;
}

// How the data of a Program are chosen.
struct Data {
  DType x, w;
  bool is_largest;  // the largest differences from the zero points; or any
};

int64_t zero_point(ProgramBuilder& b, DType dtype, bool is_largest) {
  return is_largest ? dtype_min(dtype) : b.zero_point(dtype);
}

void operand(ProgramBuilder& b, DType dtype, const Shape& shape, const Data& data, bool constant) {
  if (data.is_largest) return b.filled_input(dtype, shape, static_cast<uint8_t>(dtype_max(dtype)), constant);
  b.input(dtype, shape, constant);
}

RandomProgram convolution(const Convolution& shape, const Data& data, uint64_t seed) {
  ProgramBuilder b(shape.group == 0 ? "depthwise_conv2d" : "conv2d", seed);
  const int64_t group = shape.group == 0 ? shape.c : shape.group;
  const auto out = [&](size_t axis, int64_t size) {
    const int64_t span = (shape.kernel[axis] - 1) * shape.dilations[axis] + 1;
    return (size + shape.pads[axis] + shape.pads[axis + 2] - span) / shape.strides[axis] + 1;
  };
  operand(b, data.x, {shape.batch, shape.h, shape.w, shape.c}, data, false);
  operand(b, data.w, {shape.o, shape.kernel[0], shape.kernel[1], shape.c / group}, data, true);
  b.set("x_zero_point", zero_point(b, data.x, data.is_largest));
  b.set("strides", shape.strides);
  b.set("dilations", shape.dilations);
  b.set("pads", shape.pads);
  if (shape.group > 0) b.set("group", group);
  const int64_t low = dtype_min(data.w), high = data.is_largest ? low : dtype_max(data.w);
  b.int32_array("w_zero_point", low, high, {shape.o});
  b.int32_array("bias", INT32_MIN, INT32_MAX, {shape.o});
  b.output(DType::s32, {shape.batch, out(0, shape.h), out(1, shape.w), shape.o});
  return b.finish();
}

// bias_rows 0: none
RandomProgram product(int64_t rows, int64_t depth, int64_t columns, int64_t bias_rows, const Data& data,
                      uint64_t seed) {
  ProgramBuilder b("matmul", seed);
  operand(b, data.x, {rows, depth}, data, false);
  operand(b, data.w, {depth, columns}, data, true);
  b.set("a_zero_point", zero_point(b, data.x, data.is_largest));
  b.set("has_a_zero_point_input", 0);
  b.set("has_b_zero_point_input", 0);
  const int64_t low = dtype_min(data.w), high = data.is_largest ? low : dtype_max(data.w);
  b.int32_array("b_zero_point", low, high, {columns});
  if (bias_rows > 0) b.int32_array("bias", INT32_MIN, INT32_MAX, {bias_rows, columns});
  b.output(DType::s32, {rows, columns});
  return b.finish();
}

struct Outcome {
  int64_t passed = 0, failed = 0;
  Digest digest;

  void check(const RandomProgram& random, const std::string& what) {
    const std::vector<std::byte> expected = results_of_one_run(random, Isa::reference, 1);
    add_results(random.program, expected, digest);
    for (const Isa isa : supported_isas()) {
      for (const int64_t threads : {1, 2}) {
        const bool same = isa == Isa::reference || results_of_one_run(random, isa, threads) == expected;
        (same && !expected.empty() ? passed : failed) += 1;
        if (!same)
          std::printf("%s differs: %s, %lld threads\n", what.c_str(), isa_name(isa), static_cast<long long>(threads));
      }
    }
  }
};

}  // namespace

int main(int argc, char** argv) {
  const uint64_t seed = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1;
  Outcome outcome;
  for (const DType x : {DType::u8, DType::s8}) {
    for (const DType w : {DType::u8, DType::s8}) {
      for (const bool is_largest : {false, true}) {
        const Data data{.x = x, .w = w, .is_largest = is_largest};
        const std::string of = std::string(dtype_name(x)) + " by " + dtype_name(w) + (is_largest ? ", largest" : "");
        int64_t number = 0;
        for (const Convolution& shape : convolutions()) {
          outcome.check(convolution(shape, data, seed), "convolution " + std::to_string(number++) + ", " + of);
        }
        for (const int64_t rows : {1, 2, 7, 8, 9, 70}) {
          for (const auto& [depth, columns] : std::vector<std::pair<int64_t, int64_t>>{
                   {1, 1}, {3, 7}, {4, 8}, {15, 9}, {16, 16}, {33, 17}, {640, 32}, {1301, 100}}) {
            const int64_t bias_rows = std::vector<int64_t>{0, 1, rows}[static_cast<size_t>(number++ % 3)];
            outcome.check(product(rows, depth, columns, bias_rows, data, seed),
                          text("product of ", rows, " x ", depth, " x ", columns, ", ", of));
          }
        }
        outcome.digest.print(of.c_str());
      }
    }
  }
  std::printf("%lld passed, %lld failed\n", static_cast<long long>(outcome.passed),
              static_cast<long long>(outcome.failed));
  return outcome.failed == 0 ? 0 : 1;
}
