// SPDX-License-Identifier: Apache-2.0
// The reference kernel of the family float_mean, and the table of the family.
#include <algorithm>

#include "kernels/float_mean/float_mean.h"
#include "kernels/lookup.h"
#include "kernels/with_type.h"

namespace q8 {
namespace {

// The dequantized elements of one row.
template <class X>
struct Row {
  const X* x;
  int32_t zero_point;
  float scale;
  float operator[](int64_t i) const { return static_cast<float>(x[i] - zero_point) * scale; }
};

template <class X>
float sum_sequential(const Row<X>& d, int64_t begin, int64_t end) {
  float sum = d[begin];
  for (int64_t i = begin + 1; i < end; ++i) sum += d[i];
  return sum;
}

template <class X>
void add_packet(const Row<X>& d, int64_t begin, float (&packet)[4]) {
  for (int64_t lane = 0; lane < 4; ++lane) packet[lane] += d[begin + lane];
}

template <class X>
float sum_lanes(const Row<X>& d, int64_t n, int64_t start) {
  const int64_t first = std::min((4 - start % 4) % 4, n);
  const int64_t end = first + (n - first) / 4 * 4;
  const int64_t end_pairs = first + (n - first) / 8 * 8;
  if (end == first) return sum_sequential(d, 0, n);
  float packet[4] = {d[first], d[first + 1], d[first + 2], d[first + 3]};
  if (end - first > 4) {
    float second[4] = {d[first + 4], d[first + 5], d[first + 6], d[first + 7]};
    for (int64_t i = first + 8; i < end_pairs; i += 8) {
      add_packet(d, i, packet);
      add_packet(d, i + 4, second);
    }
    for (int lane = 0; lane < 4; ++lane) packet[lane] += second[lane];
    if (end > end_pairs) add_packet(d, end_pairs, packet);
  }
  float sum = (packet[0] + packet[2]) + (packet[1] + packet[3]);
  for (int64_t i = 0; i < first; ++i) sum += d[i];
  for (int64_t i = end; i < n; ++i) sum += d[i];
  return sum;
}

template <class X>
float sum_blocks(const Row<X>& d, int64_t n) {
  float sum = 0.0f;
  for (int64_t i = 0, width = 0; i < n; i += width) {
    width = n - i >= 4 ? 4 : n - i >= 2 ? 2 : 1;
    const float block = sum_sequential(d, i, i + width);
    sum = i == 0 ? block : block + sum;
  }
  return sum;
}

template <class X>
float sum_packets(const Row<X>& d, int64_t n) {
  const int64_t end = n / 4 * 4;
  float packet[4] = {};
  for (int64_t i = 0; i < end; i += 4) add_packet(d, i, packet);
  float sum = (packet[0] + packet[2]) + (packet[1] + packet[3]);
  for (int64_t i = end; i < n; ++i) sum += d[i];
  return sum;
}

template <class X>
float sum_row(const Row<X>& d, const FloatMeanArgs& args, int64_t row) {
  const int64_t n = args.row_length;
  switch (args.order) {
    case SumOrder::lanes:
      return sum_lanes(d, n, row * n);
    case SumOrder::blocks:
      return sum_blocks(d, n);
    case SumOrder::packets:
      return sum_packets(d, n);
    default:
      return sum_sequential(d, 0, n);
  }
}

#define Q8_KERNEL(symbol, isa) {isa, #symbol, symbol},
constexpr FloatMeanKernel table[] = {
#include "kernels/float_mean/kernels.inc"
};
#undef Q8_KERNEL

}  // namespace

void float_mean_reference(const FloatMeanArgs& args) {
  with_quantized_type(args.x_dtype, [&](auto x_type) {
    with_quantized_type(args.range.dtype, [&](auto y_type) {
      using X = decltype(x_type);
      using Y = decltype(y_type);
      for (int64_t row = args.row_begin; row < args.row_begin + args.row_count; ++row) {
        const Row<X> d{static_cast<const X*>(args.x) + row * args.row_length, args.x_zero_point, args.x_scale};
        const float mean = sum_row(d, args, row) / static_cast<float>(args.row_length);
        static_cast<Y*>(args.y)[row] = static_cast<Y>(quantize_outside(mean / args.y_scale, args.range));
      }
    });
  });
}

Q8_DEFINE_LOOKUP(float_mean, FloatMeanKernel)

}  // namespace q8
