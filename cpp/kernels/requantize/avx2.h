// SPDX-License-Identifier: Apache-2.0
// What the AVX2 kernels of all requantize families share: a tile goes by blocks of 16 channels, whose parameters are
// prepared once for all rows. Internal linkage.
//
// 16 int32 values saturate to int16, the zero point is added there and saturates, they saturate to the dtype, then
// they are clamped. That is to clamp the sum itself: qmin and qmax lie within the dtype, whose range lies far within
// int16.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

#include "numerics/requantize.h"

namespace q8 {
namespace {

constexpr int64_t block_channels = 16;

// Which of the 16 channels of a block exist.
struct Lanes {
  int64_t count;
  __m256i low, high;
};

Lanes first_lanes(int64_t count) {
  const __m256i numbers = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  const int32_t existing = count < block_channels ? static_cast<int32_t>(count) : 16;
  return {.count = existing,
          .low = _mm256_cmpgt_epi32(_mm256_set1_epi32(existing), numbers),
          .high = _mm256_cmpgt_epi32(_mm256_set1_epi32(existing - 8), numbers)};
}

// 32-bit values of 8 lanes; those that do not exist are 0.
[[maybe_unused]] __m256i load_lanes(const int32_t* from, __m256i lanes) { return _mm256_maskload_epi32(from, lanes); }
[[maybe_unused]] __m256 load_lanes(const float* from, __m256i lanes) { return _mm256_maskload_ps(from, lanes); }

struct Narrowing {
  __m256i zero_point;
  __m128i qmin, qmax;
  bool is_signed;
};

Narrowing make_narrowing(const QuantizedRange& range, int32_t zero_point) {
  return {.zero_point = _mm256_set1_epi16(static_cast<int16_t>(zero_point)),
          .qmin = _mm_set1_epi8(static_cast<char>(range.qmin)),
          .qmax = _mm_set1_epi8(static_cast<char>(range.qmax)),
          .is_signed = range.dtype == DType::s8};
}

__m128i narrow_16(__m256i low, __m256i high, const Narrowing& by) {
  const __m256i sum = _mm256_adds_epi16(_mm256_packs_epi32(low, high), by.zero_point);
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);  // packing keeps to 128-bit lanes
  if (by.is_signed) {
    const __m128i q = _mm256_castsi256_si128(_mm256_permutevar8x32_epi32(_mm256_packs_epi16(sum, sum), order));
    return _mm_min_epi8(_mm_max_epi8(q, by.qmin), by.qmax);
  }
  const __m128i q = _mm256_castsi256_si128(_mm256_permutevar8x32_epi32(_mm256_packus_epi16(sum, sum), order));
  return _mm_min_epu8(_mm_max_epu8(q, by.qmin), by.qmax);
}

void store_first(uint8_t* y, __m128i bytes, int64_t count) {
  if (count == block_channels) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(y), bytes);
  } else if (count == 8) {
    _mm_storel_epi64(reinterpret_cast<__m128i*>(y), bytes);
  } else {
    alignas(16) uint8_t all[block_channels];
    _mm_store_si128(reinterpret_cast<__m128i*>(all), bytes);
    std::memcpy(y, all, static_cast<size_t>(count));
  }
}

// The parameters of 16 channels.
template <class Parameters>
struct Block {
  Parameters low, high;
};

// Rows of a block: where they begin, and from row to row.
struct Rows {
  const int32_t* acc;
  uint8_t* y;
  int64_t count, acc_stride, y_stride;
};

template <class Parameters, class Rescale>
void requantize_rows(Rows rows, const Lanes& lanes, const Block<Parameters>& by, const Narrowing& narrowing,
                     const Rescale& rescale) {
  for (; rows.count > 0; --rows.count, rows.acc += rows.acc_stride, rows.y += rows.y_stride) {
    const __m256i low = rescale(load_lanes(rows.acc, lanes.low), by.low);
    const __m256i high = rescale(load_lanes(rows.acc + 8, lanes.high), by.high);
    store_first(rows.y, narrow_16(low, high, narrowing), lanes.count);
  }
}

// load(channel, lanes) gives the Parameters of 8 channels, rescale(accumulators, parameters) 8 int32 values to which
// zero_point is to be added. One long row with parameters for all is as good as rows of 16 channels.
template <class Args, class Load, class Rescale>
void requantize_blocks(const Args& args, int64_t parameter_stride, int32_t zero_point, const Load& load,
                       const Rescale& rescale) {
  const Narrowing narrowing = make_narrowing(args.range, zero_point);
  using Parameters = decltype(load(0, first_lanes(0).low));
  Block<Parameters> by{};
  int64_t c = 0;
  const auto rows_at = [&](int64_t count, int64_t acc_stride, int64_t y_stride) {
    return Rows{args.acc + c, static_cast<uint8_t*>(args.y) + c, count, acc_stride, y_stride};
  };
  if (parameter_stride == 0) {
    const Lanes lanes = first_lanes(block_channels);
    by = {.low = load(0, lanes.low), .high = load(0, lanes.high)};
    if (args.rows == 1) {
      const int64_t count = args.channels / block_channels;
      requantize_rows(rows_at(count, block_channels, block_channels), lanes, by, narrowing, rescale);
      c = count * block_channels;
    }
  }
  for (; c < args.channels; c += block_channels) {
    const Lanes lanes = first_lanes(args.channels - c);
    if (parameter_stride != 0) by = {.low = load(c, lanes.low), .high = load(c + 8, lanes.high)};
    requantize_rows(rows_at(args.rows, args.acc_stride, args.y_stride), lanes, by, narrowing, rescale);
  }
}

}  // namespace
}  // namespace q8
