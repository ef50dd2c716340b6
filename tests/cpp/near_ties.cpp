// SPDX-License-Identifier: Apache-2.0
// The kernels that round, on values that are crafted to lie on ties, next to them, at the ends of the ranges and
// beyond: every ISA gives the bytes of the reference kernel, and writes no other ones. Vectors of every length up to
// 40, with parameters for each element or for all. Digests of the reference results are printed, to compare processors.
// Usage: q8emu_near_ties [first seed] [rounds]
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <random>
#include <vector>

#include "base/cpu.h"
#include "digest.h"
#include "kernels/add/add.h"
#include "kernels/dequantize/dequantize.h"
#include "kernels/quantize/quantize.h"
#include "kernels/requantize/requantize.h"
#include "kernels/requantize_converted/requantize_converted.h"
#include "kernels/requantize_float64/requantize_float64.h"
#include "kernels/requantize_multiplier/requantize_multiplier.h"
#include "kernels/requantize_staged/requantize_staged.h"

namespace {

using namespace q8;
using Limits = std::numeric_limits<float>;

int64_t passed = 0, failed = 0;

// What one expression draws must not depend on the order in which a compiler evaluates it: two draws are two
// statements.
class Random {
 public:
  explicit Random(uint64_t seed) : source_(seed) {}

  int64_t between(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(source_() % (static_cast<uint64_t>(high) - static_cast<uint64_t>(low) + 1));
  }
  bool chance(int64_t percent) { return between(1, 100) <= percent; }
  template <class T>
  T pick(std::initializer_list<T> values) {
    return values.begin()[between(0, static_cast<int64_t>(values.size()) - 1)];
  }
  QuantizedRange range() {
    const DType dtype = chance(50) ? DType::s8 : DType::u8;
    const int32_t low = dtype_min(dtype), high = dtype_max(dtype);
    QuantizedRange range{.zero_point = number(low, high), .qmin = low, .qmax = high, .dtype = dtype};
    if (chance(30)) range.qmin = number(low, high), range.qmax = number(range.qmin, high);
    if (chance(30)) range.zero_point = pick({low, high, 0});
    return range;
  }
  int32_t number(int32_t low, int32_t high) { return static_cast<int32_t>(between(low, high)); }
  // A value that rounds to what this range has, or just beyond it, with a half.
  double half(const QuantizedRange& range) {
    const int32_t low = range.qmin - range.zero_point, high = range.qmax - range.zero_point;
    const int32_t q = chance(20) ? pick({low - 1, low, high - 1, high, -1, 0}) : number(low - 2, high + 2);
    return q + 0.5;
  }
  // A factor with few bits, so that ties are exact, or with all; at times as small or large as there is.
  float scale() {
    if (chance(4)) return chance(50) ? Limits::denorm_min() : Limits::max();
    const int32_t factor = pick({1, 1, 3, 5}), exponent = -number(0, 20);
    const float few = std::ldexp(static_cast<float>(factor), exponent);
    return chance(50) ? few : few * (1.0f + static_cast<float>(number(0, 1 << 23)) * 0x1p-24f);
  }
  // An accumulator that this factor takes to a half or next to it, together with an addend.
  int32_t accumulator(double factor, double addend, const QuantizedRange& range) {
    if (chance(8)) return pick({INT32_MIN, INT32_MIN + 1, INT32_MAX, INT32_MAX - 1, 0, 1, -1, 1 << 24, (1 << 24) + 1});
    if (chance(4)) return number(INT32_MIN, INT32_MAX);
    const double v = std::nearbyint(half(range) / factor), beside = chance(50) ? 0 : number(-1, 1);
    return static_cast<int32_t>(std::clamp(v + beside - std::nearbyint(addend), -2147483648.0, 2147483647.0));
  }

 private:
  std::mt19937_64 source_;
};

// Runs the kernel of every ISA on the same arguments, apart from y, and compares all bytes around y.
template <class Element, class Lookup, class Args>
void compare(const Lookup& lookup, Args args, int64_t elements, const char* what, uint64_t seed, Digest& digest) {
  constexpr int64_t around = 32;
  const auto run = [&](Isa isa) {
    std::vector<Element> y(static_cast<size_t>(elements + 2 * around), Element{77});
    args.y = y.data() + around;
    lookup(isa).run(args);
    return y;
  };
  const std::vector<Element> expected = run(Isa::reference);
  digest.add(expected.data(), expected.size() * sizeof(Element));
  for (const Isa isa : supported_isas()) {
    const std::vector<Element> found = run(isa);
    const bool same = std::memcmp(found.data(), expected.data(), expected.size() * sizeof(Element)) == 0;
    (same ? passed : failed) += 1;
    if (!same) std::printf("%s differs: seed %llu, %s\n", what, static_cast<unsigned long long>(seed), isa_name(isa));
  }
}

// A tile of accumulators and what all requantizations have.
struct Tile {
  int64_t rows, channels, parameters, acc_stride, y_stride;
  QuantizedRange range;
  std::vector<int32_t> acc;

  explicit Tile(Random& random)
      : rows(random.between(1, 3)),
        channels(random.between(1, 40)),
        parameters(random.chance(50) ? 1 : channels),
        acc_stride(channels + random.between(0, 3)),
        y_stride(channels + random.between(0, 3)),
        range(random.range()),
        acc(static_cast<size_t>(rows * acc_stride)) {}

  int64_t stride() const { return parameters == 1 ? 0 : 1; }
  // factor(c) and addend(c) are those of channel c
  template <class Factor, class Addend>
  void fill(Random& random, const Factor& factor, const Addend& addend) {
    for (int64_t i = 0; i < rows * acc_stride; ++i) {
      const int64_t c = std::min(i % acc_stride, channels - 1) * stride();
      acc[static_cast<size_t>(i)] =
          random.accumulator(factor(static_cast<size_t>(c)), addend(static_cast<size_t>(c)), range);
    }
  }
  template <class Factor>
  void fill(Random& random, const Factor& factor) {
    fill(random, factor, [](size_t) { return 0.0; });
  }
  template <class Args>
  void give(Args& args) const {
    args.acc = acc.data();
    args.acc_stride = acc_stride;
    args.rows = rows;
    args.channels = channels;
    args.range = range;
    args.y_stride = y_stride;
  }
  int64_t elements() const { return rows * y_stride; }
};

std::vector<float> scales(Random& random, int64_t count) {
  std::vector<float> out;
  for (int64_t i = 0; i < count; ++i) out.push_back(random.scale());
  return out;
}

void requantize_by_float(Random& random, uint64_t seed, Digest& digest) {
  Tile tile(random);
  const std::vector<float> scale = scales(random, tile.parameters);
  tile.fill(random, [&](size_t c) { return double{scale[c]}; });
  RequantizeArgs args{};
  tile.give(args);
  args.scale = scale.data();
  args.scale_stride = tile.stride();
  compare<uint8_t>(requantize_kernel, args, tile.elements(), "requantize", seed, digest);
}

void requantize_by_double(Random& random, uint64_t seed, Digest& digest) {
  Tile tile(random);
  if (random.chance(20)) tile.range.zero_point = random.number(INT32_MIN, INT32_MAX);
  std::vector<double> scale;
  for (int64_t i = 0; i < tile.parameters; ++i) {
    const double few = double{random.scale()};
    scale.push_back(random.chance(50) ? few : random.chance(10) ? 1e300 : few * (1.0 + random.number(0, 99) * 0x1p-52));
  }
  tile.fill(random, [&](size_t c) { return scale[c]; });
  RequantizeFloat64Args args{};
  tile.give(args);
  args.scale = scale.data();
  args.scale_stride = tile.stride();
  compare<uint8_t>(requantize_float64_kernel, args, tile.elements(), "requantize_float64", seed, digest);
}

void requantize_by_conversion(Random& random, uint64_t seed, Digest& digest) {
  Tile tile(random);
  std::vector<float> scale = scales(random, tile.parameters), bias;
  const float bias_scale = random.pick({1.0f, 0.5f, 0.3f, 3e7f});
  const bool has_bias = random.chance(70);
  for (int64_t i = 0; i < tile.parameters; ++i) {
    // v around 2^31, where the conversion turns over
    if (random.chance(10)) scale[static_cast<size_t>(i)] = random.pick({1.0f, 1.0000001f, 2.0f, 1e9f});
    // Mostly a product that is nearly an integer, and far larger than the sum: what it lacks shows if it is fused.
    const float near_integer = static_cast<float>(random.number(-(1 << 24), 1 << 24)) / bias_scale;
    bias.push_back(random.chance(5) ? 1e30f : random.chance(20) ? near_integer * 0.37f : near_integer);
  }
  tile.fill(
      random, [&](size_t c) { return double{scale[c]}; },
      [&](size_t c) { return has_bias ? double{bias[c]} * double{bias_scale} : 0.0; });
  RequantizeConvertedArgs args{};
  tile.give(args);
  args.scale = scale.data();
  args.parameter_stride = tile.stride();
  args.bias = has_bias ? bias.data() : nullptr;
  args.bias_scale = bias_scale;
  compare<uint8_t>(requantize_converted_kernel, args, tile.elements(), "requantize_converted", seed, digest);
}

int32_t a_multiplier(Random& random, int64_t most) {
  if (random.chance(10)) return static_cast<int32_t>(random.pick<int64_t>({0, 1, most - 1, most}));
  if (random.chance(40)) return random.pick({1 << 30, 3 << 29, 5 << 28, (1 << 30) + 1}) & static_cast<int32_t>(most);
  return static_cast<int32_t>(random.between(most / 2, most));
}

void requantize_by_multiplier(Random& random, uint64_t seed, Digest& digest) {
  Tile tile(random);
  if (random.chance(20)) tile.range.zero_point = random.number(INT32_MIN, INT32_MAX);
  std::vector<int32_t> multiplier, shift;
  const bool is_wide = random.chance(30);
  for (int64_t i = 0; i < tile.parameters; ++i) {
    multiplier.push_back(a_multiplier(random, INT32_MAX));
    shift.push_back(is_wide ? random.number(1, 62) : random.number(28, 48));
  }
  tile.fill(random, [&](size_t c) { return std::ldexp(std::max(multiplier[c], 1), -shift[c]); });
  RequantizeMultiplierArgs args{};
  tile.give(args);
  args.multiplier = multiplier.data();
  args.shift = shift.data();
  args.parameter_stride = tile.stride();
  for (const auto rule : {MultiplierRule::double_rounding, MultiplierRule::ruy_x86, MultiplierRule::single_rounding}) {
    args.rule = rule;
    compare<uint8_t>(requantize_multiplier_kernel, args, tile.elements(), "requantize_multiplier", seed, digest);
  }
}

void requantize_in_stages(Random& random, uint64_t seed, Digest& digest) {
  Tile tile(random);
  if (random.chance(20)) tile.range.zero_point = random.number(INT32_MIN, INT32_MAX);
  const int32_t first_shift = random.chance(40) ? 0 : random.chance(40) ? 31 : random.number(1, 31);
  const bool is_wide = random.chance(30);
  std::vector<int32_t> multiplier, shift;
  for (int64_t i = 0; i < tile.parameters; ++i) {
    shift.push_back(is_wide ? random.number(first_shift - 31, 62) : random.number(30, 44));
    const int64_t most = std::min<int64_t>((int64_t{1} << 31) >> std::max(-shift.back(), 0), INT32_MAX);
    const bool is_tie = first_shift > 0 && random.chance(30);  // of the first stage, for every odd accumulator
    multiplier.push_back(is_tie ? static_cast<int32_t>(std::min(int64_t{1} << (first_shift - 1), most))
                                : a_multiplier(random, most));
  }
  tile.fill(random, [&](size_t c) { return std::ldexp(std::max(multiplier[c], 1), -shift[c]); });
  RequantizeStagedArgs args{};
  tile.give(args);
  args.multiplier = multiplier.data();
  args.shift = shift.data();
  args.parameter_stride = tile.stride();
  for (int32_t rounding = 0; rounding <= last_integer_rounding; ++rounding) {
    args.rule = {.first_shift = first_shift,
                 .first_rounding = static_cast<IntegerRounding>(random.number(0, last_integer_rounding)),
                 .rounding = static_cast<IntegerRounding>(rounding),
                 .saturates = random.chance(50)};
    compare<uint8_t>(requantize_staged_kernel, args, tile.elements(), "requantize_staged", seed, digest);
  }
}

float near(Random& random, float x) {
  return random.chance(50) ? x : std::nextafter(x, random.chance(50) ? Limits::infinity() : -Limits::infinity());
}

void quantize(Random& random, uint64_t seed, Digest& digest) {
  const int64_t count = random.between(1, 40), step = random.between(0, 1);
  QuantizedRange range = random.range();
  std::vector<float> x;
  const std::vector<float> scale = scales(random, count);
  std::vector<int32_t> zero_point;
  const float signalling = std::bit_cast<float>(0x7fa00000);
  for (int64_t i = 0; i < count; ++i) {
    range.zero_point = random.number(dtype_min(range.dtype), dtype_max(range.dtype));
    zero_point.push_back(range.zero_point);
    const float v = static_cast<float>(random.half(range)) * scale[static_cast<size_t>(i * step)];
    const float special = random.pick({Limits::quiet_NaN(), -Limits::quiet_NaN(), signalling, Limits::infinity(),
                                       -Limits::infinity(), Limits::max(), -0.0f, 2147483648.0f, Limits::denorm_min()});
    x.push_back(random.chance(8) ? special : near(random, v));
  }
  QuantizeArgs args{.x = x.data(),
                    .y = nullptr,
                    .count = count,
                    .scale = scale.data(),
                    .zero_point = zero_point.data(),
                    .parameter_step = step,
                    .range = range,
                    .rule = {}};
  for (const auto rule : {QuantizeRule::half_even, QuantizeRule::half_away, QuantizeRule::half_even_reciprocal,
                          QuantizeRule::half_away_float64, QuantizeRule::half_even_fused}) {
    args.rule = rule;
    compare<uint8_t>(quantize_kernel, args, count, "quantize", seed, digest);
  }
}

void dequantize(Random& random, uint64_t seed, Digest& digest) {
  const int64_t count = random.between(1, 40);
  const std::vector<float> scale = scales(random, count);
  std::vector<int32_t> x, zero_point;
  const DType dtype = random.pick({DType::s8, DType::u8, DType::s32});
  for (int64_t i = 0; i < count; ++i) {
    x.push_back(random.chance(20) ? random.pick({INT32_MIN, INT32_MAX, 0}) : random.number(INT32_MIN, INT32_MAX));
    zero_point.push_back(random.chance(50) ? random.number(-128, 255) : random.number(-(1 << 24), 1 << 24));
  }
  DequantizeArgs args{.x = x.data(),
                      .x_dtype = dtype,
                      .y = nullptr,
                      .count = count,
                      .scale = scale.data(),
                      .zero_point = random.chance(80) ? zero_point.data() : nullptr,
                      .parameter_step = random.between(0, 1),
                      .is_affine = false};
  compare<float>(dequantize_kernel, args, count, "dequantize", seed, digest);
  const bool overflows = std::any_of(scale.begin(), scale.end(), [](float s) { return s == Limits::max(); });
  args.is_affine = dtype != DType::s32 && !overflows;  // infinity minus infinity has no bits of its own
  compare<float>(dequantize_kernel, args, count, "dequantize", seed, digest);
}

void add(Random& random, uint64_t seed, Digest& digest) {
  const int64_t count = random.between(1, 70);
  std::vector<uint8_t> a, b;
  for (int64_t i = 0; i < count; ++i) {
    a.push_back(static_cast<uint8_t>(random.number(0, 255)));
    b.push_back(static_cast<uint8_t>(random.number(0, 255)));
  }
  const auto ratio = [&] { return random.chance(50) ? random.pick({0.5f, 0.25f, 1.0f, 1.5f}) : random.scale(); };
  const float turn = random.pick({2147483520.0f, 2147483648.0f, -2147483648.0f, Limits::max(), -Limits::max()});
  const float middle = near(random, static_cast<float>(random.number(-400, 400)) * 0.5f);
  AddArgs args{.a = a.data(),
               .b = b.data(),
               .y = nullptr,
               .count = count,
               .a_step = random.between(0, 1),
               .b_step = random.between(0, 1),
               .a_ratio = ratio(),
               .b_ratio = ratio(),
               .fixed = random.chance(10) ? turn : middle,
               .range = random.range()};
  compare<uint8_t>(add_kernel, args, count, "add", seed, digest);
}

struct Family {
  const char* name;
  void (*check)(Random& random, uint64_t seed, Digest& digest);
};

constexpr Family checked[] = {{"add", add},
                              {"dequantize", dequantize},
                              {"quantize", quantize},
                              {"requantize", requantize_by_float},
                              {"requantize_converted", requantize_by_conversion},
                              {"requantize_float64", requantize_by_double},
                              {"requantize_multiplier", requantize_by_multiplier},
                              {"requantize_staged", requantize_in_stages}};

}  // namespace

int main(int argc, char** argv) {
  const uint64_t first = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1;
  const uint64_t rounds = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 3000;
  for (const Family& family : checked) {
    Digest digest;
    for (uint64_t seed = first; seed < first + rounds; ++seed) {
      Random random(seed);
      family.check(random, seed, digest);
    }
    digest.print(family.name);
  }
  std::printf("seeds %llu to %llu: %lld passed, %lld failed\n", static_cast<unsigned long long>(first),
              static_cast<unsigned long long>(first + rounds - 1), static_cast<long long>(passed),
              static_cast<long long>(failed));
  return failed == 0 ? 0 : 1;
}
