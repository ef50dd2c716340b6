// SPDX-License-Identifier: Apache-2.0
// Bytes of either dtype as signed ones: an unsigned byte gets 128 subtracted, which flips its first bit, and its zero
// point with it. Internal linkage.
#pragma once

#include <cstdint>

#include "base/dtype.h"

namespace q8 {
namespace {

// What an exclusive or makes signed bytes of those of a dtype with.
uint8_t flip_of(DType dtype) { return dtype == DType::s8 ? 0 : 0x80; }

// What that adds to the values.
int32_t shift_of(DType dtype) { return dtype == DType::s8 ? 0 : -128; }

}  // namespace
}  // namespace q8
