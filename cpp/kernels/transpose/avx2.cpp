// SPDX-License-Identifier: Apache-2.0
// transpose with 16-byte vectors: bytes in blocks of 16 x 16, and 3 or 4 planes woven into pixels.
#include <immintrin.h>

#include "kernels/transpose/transpose.h"

namespace q8 {
namespace {

constexpr int64_t lanes = 16;

__m128i load(const uint8_t* from) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from)); }
void store(uint8_t* to, __m128i value) { _mm_storeu_si128(reinterpret_cast<__m128i*>(to), value); }

// Elements [i0, i1) of the columns [j0, j1), one by one.
template <class T>
void one_by_one(const TransposeArgs& args, int64_t i0, int64_t i1, int64_t j0, int64_t j1) {
  const T* x = static_cast<const T*>(args.x);
  T* y = static_cast<T*>(args.y);
  for (int64_t j = j0; j < j1; ++j) {
    for (int64_t i = i0; i < i1; ++i) y[j * args.y_stride + i] = x[i * args.x_stride + j];
  }
}

// A register holds row k and, in its upper half, row k + 8. Three rounds of putting two rows together byte by byte make
// columns of 8 rows; the last exchange makes columns of 16.
void block_16x16(const uint8_t* x, int64_t x_stride, uint8_t* y, int64_t y_stride) {
  __m256i a[8], b[8];
  for (int64_t k = 0; k < 8; ++k) a[k] = _mm256_set_m128i(load(x + (k + 8) * x_stride), load(x + k * x_stride));
  for (int round = 0; round < 3; ++round) {
    for (int64_t k = 0; k < 4; ++k) {
      b[2 * k] = _mm256_unpacklo_epi8(a[k], a[k + 4]);
      b[2 * k + 1] = _mm256_unpackhi_epi8(a[k], a[k + 4]);
    }
    for (int64_t k = 0; k < 8; ++k) a[k] = b[k];
  }
  for (int64_t k = 0; k < 8; ++k) {
    const __m256i columns = _mm256_permute4x64_epi64(a[k], 0xD8);
    store(y + 2 * k * y_stride, _mm256_castsi256_si128(columns));
    store(y + (2 * k + 1) * y_stride, _mm256_extracti128_si256(columns, 1));
  }
}

// 3 or 4 planes to pixels of as many bytes without gaps. A store of 3-byte pixels writes 4 bytes that the next one
// writes again, so the last columns are left over. Returns how many are done.
int64_t weave(const TransposeArgs& args) {
  const uint8_t* x = static_cast<const uint8_t*>(args.x);
  uint8_t* y = static_cast<uint8_t*>(args.y);
  const __m128i drop = _mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1);
  const bool has_4 = args.rows == 4;
  int64_t j = 0;
  for (; j + lanes + (has_4 ? 0 : 2) <= args.columns; j += lanes) {
    const __m128i r0 = load(x + j), r1 = load(x + args.x_stride + j), r2 = load(x + 2 * args.x_stride + j);
    const __m128i r3 = has_4 ? load(x + 3 * args.x_stride + j) : _mm_setzero_si128();
    const __m128i a = _mm_unpacklo_epi8(r0, r1), b = _mm_unpackhi_epi8(r0, r1);
    const __m128i c = _mm_unpacklo_epi8(r2, r3), d = _mm_unpackhi_epi8(r2, r3);
    const __m128i pixels[4] = {_mm_unpacklo_epi16(a, c), _mm_unpackhi_epi16(a, c), _mm_unpacklo_epi16(b, d),
                               _mm_unpackhi_epi16(b, d)};
    for (int64_t k = 0; k < 4; ++k) {
      const __m128i four = has_4 ? pixels[k] : _mm_shuffle_epi8(pixels[k], drop);
      store(y + (j + 4 * k) * args.rows, four);
    }
  }
  return j;
}

void transpose_bytes(const TransposeArgs& args) {
  if ((args.rows == 3 || args.rows == 4) && args.y_stride == args.rows) {
    one_by_one<uint8_t>(args, 0, args.rows, weave(args), args.columns);
    return;
  }
  const uint8_t* x = static_cast<const uint8_t*>(args.x);
  uint8_t* y = static_cast<uint8_t*>(args.y);
  const int64_t rows = args.rows / lanes * lanes, columns = args.columns / lanes * lanes;
  for (int64_t i = 0; i < rows; i += lanes) {
    for (int64_t j = 0; j < columns; j += lanes) {
      block_16x16(x + i * args.x_stride + j, args.x_stride, y + j * args.y_stride + i, args.y_stride);
    }
  }
  one_by_one<uint8_t>(args, 0, rows, columns, args.columns);
  one_by_one<uint8_t>(args, rows, args.rows, 0, args.columns);
}

}  // namespace

void transpose_avx2(const TransposeArgs& args) {
  if (args.element_bytes == 1) {
    transpose_bytes(args);
  } else {
    one_by_one<uint32_t>(args, 0, args.rows, 0, args.columns);
  }
}

}  // namespace q8
