// SPDX-License-Identifier: Apache-2.0
// add_rescaled with AVX2: lines are computed, 16 elements at a time; tables are read by scalar loads, 8 elements for
// each load of the operands, which is faster than vpgatherdd here.
#include <immintrin.h>

#include <cstring>

#include "kernels/add_rescaled/add_rescaled.h"

namespace q8 {
namespace {

struct Constants {
  __m128i flip;
  __m256i slope, fraction, rest, before, jump;  // c > before adds the jump
};

Constants prepare(const Line& line) {
  return {.flip = _mm_set1_epi8(static_cast<char>(line.flip)),
          .slope = _mm256_set1_epi32(line.slope),
          .fraction = _mm256_set1_epi32(line.fraction),
          .rest = _mm256_set1_epi32(line.rest),
          .before = _mm256_set1_epi32(line.from - 1),
          .jump = _mm256_set1_epi32(line.jump)};
}

// 16 elements, or one of them 16 times
__m128i load(const uint8_t* from, int64_t at, int64_t step) {
  return step == 0 ? _mm_set1_epi8(static_cast<char>(from[0]))
                   : _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + at));
}

// The values of the first 8 elements, without the start of the line.
template <bool has_jump>
__m256i values_of(__m128i x, const Constants& line) {
  const __m256i c = _mm256_cvtepu8_epi32(x);
  __m256i below = _mm256_add_epi32(_mm256_mullo_epi32(c, line.fraction), line.rest);
  if constexpr (has_jump) {
    below = _mm256_add_epi32(below, _mm256_and_si256(_mm256_cmpgt_epi32(c, line.before), line.jump));
  }
  return _mm256_add_epi32(_mm256_mullo_epi32(c, line.slope), _mm256_srai_epi32(below, line_bits));
}

// The elements that make whole vectors; returns how many.
template <bool has_jump>
int64_t add_lines(const AddRescaledArgs& args) {
  const Constants a_line = prepare(*args.a_line), b_line = prepare(*args.b_line);
  const __m256i start = _mm256_set1_epi32(wrap(int64_t{args.a_line->start} + args.b_line->start));
  const auto store = [&](int64_t at, __m128i a, __m128i b) {
    const __m256i sum = _mm256_add_epi32(values_of<has_jump>(a, a_line), values_of<has_jump>(b, b_line));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(args.acc + at), _mm256_add_epi32(sum, start));
  };
  int64_t i = 0;
  for (; i + 16 <= args.count; i += 16) {
    const __m128i a = _mm_xor_si128(load(args.a, i, args.a_step), a_line.flip);
    const __m128i b = _mm_xor_si128(load(args.b, i, args.b_step), b_line.flip);
    store(i, a, b);
    store(i + 8, _mm_srli_si128(a, 8), _mm_srli_si128(b, 8));
  }
  return i;
}

int64_t add_tables(const AddRescaledArgs& args) {
  constexpr uint64_t repeated = 0x0101010101010101;
  const auto word = [](const uint8_t* from, int64_t at, int64_t step) {
    uint64_t bytes = from[0] * repeated;
    if (step != 0) std::memcpy(&bytes, from + at, 8);
    return bytes;
  };
  int64_t i = 0;
  for (; i + 8 <= args.count; i += 8) {
    const uint64_t a = word(args.a, i, args.a_step), b = word(args.b, i, args.b_step);
    for (int k = 0; k < 8; ++k) {
      const int64_t sum = int64_t{args.a_rescaled[a >> 8 * k & 0xFF]} + args.b_rescaled[b >> 8 * k & 0xFF];
      args.acc[i + k] = wrap(sum);
    }
  }
  return i;
}

int64_t add_whole(const AddRescaledArgs& args) {
  if (args.a_line == nullptr) return add_tables(args);
  return args.a_line->from < 256 || args.b_line->from < 256 ? add_lines<true>(args) : add_lines<false>(args);
}

}  // namespace

void add_rescaled_avx2(const AddRescaledArgs& args) {
  for (int64_t i = add_whole(args); i < args.count; ++i) {
    args.acc[i] = wrap(int64_t{args.a_rescaled[args.a[i * args.a_step]]} + args.b_rescaled[args.b[i * args.b_step]]);
  }
}

}  // namespace q8
