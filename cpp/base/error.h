// SPDX-License-Identifier: Apache-2.0
// The only way to fail: q8::Error, one sentence that says where, what was expected and what was found.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace q8 {

class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// The parts, printed one after another.
template <class... Parts>
std::string text(const Parts&... parts) {
  std::ostringstream stream;
  (stream << ... << parts);
  return stream.str();
}

}  // namespace q8

#define Q8_REQUIRE(condition, ...)                                \
  do {                                                            \
    if (!(condition)) throw ::q8::Error(::q8::text(__VA_ARGS__)); \
  } while (false)
