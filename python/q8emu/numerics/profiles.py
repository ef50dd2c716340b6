# SPDX-License-Identifier: Apache-2.0
"""One frozen record per arithmetic, every decision with its source.

Each decision is a closed list: a new arithmetic adds a value to one of them together with the code that means it. With
one profile so far, each list has one entry.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Numerics:
    """Every arithmetic decision of one backend or chip.

    Attributes:
        name: how the profile is called.
        reproduces: the runtime, version range and instruction set that it is held to by a test.
        oracle: the name of the backend whose bits it promises.
        scale: form of the requantization scale; "float32": f32(f32(x_scale * w_scale) / y_scale), per channel.
        rounding: the rule of the requantization; the zero point is added after it.
        accumulator: width in bits and what happens beyond.
        add: "fma": two fused multiply-adds with the zero points inside the rounding (QLinearAdd on x86-64 with FMA).
        multiply: "ratio": integer product, float32 ratio, zero point inside the rounding (QLinearMul).
        average_pool: "dequantized_sum": float32 sum of dequantized taps, zero point inside the rounding.
        source: where the decisions come from.
    """

    name: str
    reproduces: str
    oracle: str
    scale: Literal["float32"]
    rounding: Literal["half_even"]
    accumulator: Literal["int32_wrap"]
    add: Literal["fma"]
    multiply: Literal["ratio"]
    average_pool: Literal["dequantized_sum"]
    source: str


ORT = Numerics(
    name="ort",
    reproduces="ONNX Runtime 1.31 CPU, fused graph with integer kernels, x86-64 with AVX2 and FMA",
    oracle="ort",
    scale="float32",
    rounding="half_even",
    accumulator="int32_wrap",
    add="fma",
    multiply="ratio",
    average_pool="dequantized_sum",
    source=(
        "microsoft/onnxruntime: core/mlas/lib/quantize.cpp, core/mlas/lib/intrinsics/avx2/qladd_avx2.cpp, "
        "core/mlas/lib/qlmul.cpp, contrib_ops/cpu/quantization/qlinear_pool.cc; held to the released binaries by tests"
    ),
)
