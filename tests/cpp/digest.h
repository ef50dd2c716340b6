// SPDX-License-Identifier: Apache-2.0
// A number that stands for many results, to compare processors with each other.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>

namespace q8 {

class Digest {
 public:
  void add(const void* bytes, size_t count) {
    const unsigned char* from = static_cast<const unsigned char*>(bytes);
    for (size_t i = 0; i < count; ++i) value_ = (value_ ^ from[i]) * 0x100000001b3;  // FNV-1a
  }

  // No arithmetic defines the sign and the payload of a NaN, and processors differ in them.
  void add_floats(const void* floats, size_t count) {
    for (size_t i = 0; i < count; ++i) {
      float value;
      std::memcpy(&value, static_cast<const unsigned char*>(floats) + 4 * i, 4);
      if (std::isnan(value)) {
        add("NaN", 3);
      } else {
        add(&value, 4);
      }
    }
  }

  void print(const char* of) const {
    std::printf("reference results of %s: %016llx\n", of, static_cast<unsigned long long>(value_));
  }

 private:
  uint64_t value_ = 0xcbf29ce484222325;
};

}  // namespace q8
