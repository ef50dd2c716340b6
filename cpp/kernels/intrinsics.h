// SPDX-License-Identifier: Apache-2.0
// The intrinsics of kernels that need more than AVX2: those of the compiler, or, in a build with Q8EMU_EMULATE_VNNI,
// functions of the same names that give the same bits with AVX2. Internal linkage.
#pragma once

#if Q8EMU_EMULATE_VNNI
#include "kernels/emulated.h"
#else
#include <immintrin.h>
#endif
