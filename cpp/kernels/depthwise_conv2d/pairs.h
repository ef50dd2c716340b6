// SPDX-License-Identifier: Apache-2.0
// depthwise_conv2d, two kernel rows at a time, the same for all ISAs: one that includes this file has named its vectors
// before. Internal linkage.
//
//   acc[pixel, o] = bias[o] + sum over pairs of rows, kernel columns of (x - xz)(w - wz) of the upper row + of the
//   lower
//
// The input rows under a rectangle of pixels become int16 in pairs, and vpmaddwd adds the products of both rows of a
// pair: x - xz and w - wz are at most 255 in magnitude, so nothing saturates. Where a window does not begin or end with
// a pair it has a weight of 0, so the weights are packed for windows that begin with either row of a pair.
//
// Scratch memory   pairs[pair of rows][column][16 channels][2 rows] int16
// Packed weights   [block of channels][row of the pair that comes first][pair][kernel column][channel][2 rows] int16
// where a block has as many channels as a vector has int32.
#pragma once

#include <immintrin.h>

#include <cstring>
#include <utility>

#include "kernels/depthwise_conv2d/depthwise_conv2d.h"
#include "kernels/rectangle.h"

namespace q8 {
namespace {

constexpr int64_t pair_elements = 2 * block_channels;
constexpr int64_t column_channels = 16;  // one block or two
constexpr int64_t column_elements = 2 * column_channels;
constexpr int64_t most_pixels = 256;  // of a rectangle
constexpr int64_t most_group = 8;     // pixels that share each load of the weights

// Pairs of rows under a window that begins with row `first` of a pair.
int64_t count_pairs(const Window& window, int64_t first) { return (window.kh + first + 1) / 2; }

int64_t weights_elements(const Window& window, int64_t first) {
  return count_pairs(window, first) * window.kw * pair_elements;
}

int64_t block_elements(const Window& window) { return weights_elements(window, 0) + weights_elements(window, 1); }

int32_t load_weight(const DepthwiseConv2dShape& shape, const void* w, int64_t at) {
  return shape.w_dtype == DType::s8 ? static_cast<const int8_t*>(w)[at] : static_cast<const uint8_t*>(w)[at];
}

// 16 channels of a pixel.
struct WholeReader {
  int64_t first;

  __m128i operator()(const uint8_t* pixel) const {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(pixel + first));
  }
};

// Fewer, or channel o of the output reads channel o / times of a pixel.
struct PartReader {
  int64_t first, channels, times;

  __m128i operator()(const uint8_t* pixel) const {
    if (times == 1 && channels == 8) return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(pixel + first));
    alignas(16) uint8_t bytes[16] = {};
    for (int64_t i = 0; i < channels; ++i) bytes[i] = pixel[(first + i) / times];
    return _mm_load_si128(reinterpret_cast<const __m128i*>(bytes));
  }
};

// The bytes of two rows, channel by channel, minus the zero point.
struct Centring {
  bool is_signed;
  __m256i zero_point;

  void operator()(__m128i bytes, int16_t* to) const {
    const __m256i wide = is_signed ? _mm256_cvtepi8_epi16(bytes) : _mm256_cvtepu8_epi16(bytes);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm256_sub_epi16(wide, zero_point));
  }
};

// One pair of rows of x - xz under the windows of a rectangle; nullptr is a row of padding, which is 0.
template <class Read>
void write_pair(const DepthwiseConv2dArgs& args, const Rectangle& at, const uint8_t* upper, const uint8_t* lower,
                const Read& read, int16_t* to) {
  const Window& window = args.shape->window;
  const int64_t begin = at.col * window.stride_w - window.pad_left, pixel = window.c, w = window.w;
  const __m128i padding = _mm_set1_epi8(static_cast<char>(args.x_zero_point));
  const Centring centre{.is_signed = args.shape->x_dtype == DType::s8,
                        .zero_point = _mm256_set1_epi16(static_cast<int16_t>(args.x_zero_point))};
  columns_axis(window).for_positions(at.cols, [&](int64_t source) {
    const int64_t col = begin + source;
    const bool inside = is_inside(col, w);
    const __m128i first = inside && upper != nullptr ? read(upper + col * pixel) : padding;
    const __m128i last = inside && lower != nullptr ? read(lower + col * pixel) : padding;
    centre(_mm_unpacklo_epi8(first, last), to);
    centre(_mm_unpackhi_epi8(first, last), to + column_channels);
    to += column_elements;
  });
}

// All pairs of rows under a rectangle, row_stride apart.
template <class Read>
void write_pairs(const DepthwiseConv2dArgs& args, const Rectangle& at, const Read& read, int64_t row_stride,
                 int16_t* to) {
  const Window& window = args.shape->window;
  const uint8_t* image = static_cast<const uint8_t*>(args.x) + at.n * window.h * window.w * window.c;
  const int64_t first = at.row * window.stride_h - window.pad_top;
  const uint8_t* upper = nullptr;
  bool is_lower = false;
  rows_axis(window).for_positions(at.rows, [&](int64_t source) {
    const bool inside = is_inside(first + source, window.h);
    const uint8_t* row = inside ? image + (first + source) * window.w * window.c : nullptr;
    if (is_lower) {
      write_pair(args, at, upper, row, read, to);
      to += row_stride;
    } else {
      upper = row;
    }
    is_lower = !is_lower;
  });
  if (is_lower) write_pair(args, at, upper, nullptr, read, to);
}

// Neighbouring pixels of a row.
struct Run {
  const int16_t* x;  // under tap (0, 0) of the first pixel
  int64_t row_stride, pixel_stride;
  const int16_t* w;
  int64_t pairs, kw;
  Vector bias;
  int32_t* acc;
  int64_t acc_stride;
  Mask lanes;     // the channels that exist
  bool is_whole;  // all of them
};

// `groups` groups of pixels, one after the other. A function of its own, so that nothing else lives in registers; the
// numbers of the pixels are constants, so that arrays do too.
template <int... p>
[[gnu::noinline]] void run_groups(std::integer_sequence<int, p...>, Run run, int64_t groups) {
  constexpr int64_t pixels = sizeof...(p);
  for (; groups > 0; --groups) {
    Vector sums[] = {((void)p, run.bias)...};
    const int16_t* w = run.w;
    const int16_t* row = run.x;
    for (int64_t pair = 0; pair < run.pairs; ++pair, row += run.row_stride) {
      const int16_t* x = row;
      for (int64_t k = 0; k < run.kw; ++k, x += column_elements, w += pair_elements) {
        const Vector weights = load_pairs(w);
        ((sums[p] = add_products(sums[p], load_pairs(x + p * run.pixel_stride), weights)), ...);
      }
    }
    if (run.is_whole) {
      (store_sums(run.acc + p * run.acc_stride, sums[p]), ...);
    } else {
      (store_lanes(run.acc + p * run.acc_stride, run.lanes, sums[p]), ...);
    }
    run.x += pixels * run.pixel_stride;
    run.acc += pixels * run.acc_stride;
  }
}

void run_pixels(const Run& run, int64_t pixels, int64_t groups) {
  switch (pixels) {
    case 8:
      return run_groups(std::make_integer_sequence<int, 8>(), run, groups);
    case 7:
      return run_groups(std::make_integer_sequence<int, 7>(), run, groups);
    case 6:
      return run_groups(std::make_integer_sequence<int, 6>(), run, groups);
    case 5:
      return run_groups(std::make_integer_sequence<int, 5>(), run, groups);
    case 4:
      return run_groups(std::make_integer_sequence<int, 4>(), run, groups);
    case 3:
      return run_groups(std::make_integer_sequence<int, 3>(), run, groups);
    case 2:
      return run_groups(std::make_integer_sequence<int, 2>(), run, groups);
    default:
      return run_groups(std::make_integer_sequence<int, 1>(), run, groups);
  }
}

// `cols` pixels, in groups that are as even as can be.
void run_row(const Run& run, int64_t cols) {
  const int64_t groups = (cols + most_group - 1) / most_group;
  const int64_t pixels = cols / groups, larger = cols % groups;  // groups of pixels + 1
  if (larger == 0) return run_pixels(run, pixels, groups);
  run_pixels(run, pixels + 1, larger);
  Run rest = run;
  rest.x += larger * (pixels + 1) * run.pixel_stride;
  rest.acc += larger * (pixels + 1) * run.acc_stride;
  run_pixels(rest, pixels, groups - larger);
}

int64_t row_elements(const Window& window, int64_t cols) {
  return columns_axis(window).positions(cols) * column_elements;
}

// One block of channels of a rectangle whose pairs have been written; acc is that of its first pixel.
void run_block(const DepthwiseConv2dArgs& args, const Rectangle& at, const int16_t* pairs, int64_t channel,
               int64_t channels, int32_t* acc) {
  const Window& window = args.shape->window;
  const int64_t row_stride = row_elements(window, at.cols), step = rows_axis(window).step();
  const Mask lanes = first_lanes(channels);
  const int16_t* w = static_cast<const int16_t*>(args.packed) + channel / block_channels * block_elements(window);
  const int16_t* const weights[] = {w, w + weights_elements(window, 0)};
  const int64_t counts[] = {count_pairs(window, 0), count_pairs(window, 1)};
  Run run{.x = pairs,
          .row_stride = row_stride,
          .pixel_stride = columns_axis(window).step() * column_elements,
          .w = w,
          .pairs = 0,
          .kw = window.kw,
          .bias = load_lanes(args.bias + channel, lanes),
          .acc = acc,
          .acc_stride = args.acc_stride,
          .lanes = lanes,
          .is_whole = channels >= block_channels};
  for (int64_t r = 0, begin = 0; r < at.rows; ++r, begin += step) {
    const int64_t first = begin % 2;  // row of its pair
    run.x = pairs + begin / 2 * row_stride;
    run.w = weights[first];
    run.pairs = counts[first];
    run_row(run, at.cols);
    run.acc += at.cols * args.acc_stride;
  }
}

// 16 channels of a rectangle; `channels` of them exist.
void run_rectangle(const DepthwiseConv2dArgs& args, const Rectangle& at, int64_t channel, int64_t channels,
                   int32_t* acc) {
  const Window& window = args.shape->window;
  int16_t* pairs = static_cast<int16_t*>(args.scratch);
  const int64_t row_stride = row_elements(window, at.cols), times = args.shape->o / window.c;
  if (times == 1 && channels == column_channels) {
    write_pairs(args, at, WholeReader{channel}, row_stride, pairs);
  } else {
    write_pairs(args, at, PartReader{channel, channels, times}, row_stride, pairs);
  }
  for (int64_t c = 0; c < channels; c += block_channels) {
    run_block(args, at, pairs + 2 * c, channel + c, channels - c, acc + c);
  }
}

size_t packed_bytes_of(const DepthwiseConv2dShape& shape) {
  const int64_t blocks = (shape.o + block_channels - 1) / block_channels;
  return static_cast<size_t>(blocks * block_elements(shape.window)) * sizeof(int16_t);
}

void pack_weights(const DepthwiseConv2dShape& shape, const void* w, const int32_t* w_zero_point, void* packed) {
  const Window& window = shape.window;
  std::memset(packed, 0, packed_bytes_of(shape));
  for (int64_t o = 0; o < shape.o; ++o) {
    int16_t* block = static_cast<int16_t*>(packed) + o / block_channels * block_elements(window);
    for (int64_t tap = 0; tap < window.kh * window.kw; ++tap) {
      const int64_t kh = tap / window.kw, kw = tap % window.kw;
      const int32_t value = load_weight(shape, w, o * window.kh * window.kw + tap) - w_zero_point[o];
      for (int64_t first = 0; first < 2; ++first) {
        int16_t* pair =
            block + first * weights_elements(window, 0) + ((kh + first) / 2 * window.kw + kw) * pair_elements;
        pair[o % block_channels * 2 + (kh + first) % 2] = static_cast<int16_t>(value);
      }
    }
  }
}

size_t scratch_bytes_of(const DepthwiseConv2dShape& shape) {
  const Window& window = shape.window;
  const int64_t most_rows = most_pixels < window.ow ? 1 : most_pixels / window.ow;
  const int64_t rows = most_rows < window.oh ? most_rows : window.oh;
  const int64_t cols = most_pixels < window.ow ? most_pixels : window.ow;
  const int64_t pairs = (rows_axis(window).positions(rows) + 1) / 2;
  return static_cast<size_t>(pairs * row_elements(window, cols)) * sizeof(int16_t);
}

void run(const DepthwiseConv2dArgs& args) {
  for (int64_t done = 0; done < args.pixel_count;) {
    const int64_t left = args.pixel_count - done;
    const Rectangle at =
        rectangle_at(args.shape->window, args.pixel_begin + done, left < most_pixels ? left : most_pixels);
    for (int64_t c = 0; c < args.channel_count; c += column_channels) {
      const int64_t channels = args.channel_count - c;
      run_rectangle(args, at, args.channel_begin + c, channels < column_channels ? channels : column_channels,
                    args.acc + done * args.acc_stride + c);
    }
    done += at.rows * at.cols;
  }
}

}  // namespace
}  // namespace q8
