# SPDX-License-Identifier: Apache-2.0
"""One frozen record per arithmetic, every decision with its source.

Each decision is a closed list: a new arithmetic adds a value to one of them together with the code that means it. An
operator that has no rule under a profile is refused when the model is lowered.
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
        scale: form of the requantization scale, per channel; "float32": f32(f32(x_scale * w_scale) / y_scale);
            "multiplier": 31 bits and a shift, from the binary64 quotient x_scale * w_scale / y_scale.
        rounding: the rule of the requantization, see `spec` and `multiplier`; the zero point is added after it.
        fully_connected: "requantize": as the other products; "float64": half_away(f64(acc * scale)) with the binary64
            scale as it is.
        accumulator: width in bits and what happens beyond.
        add: "fma": two fused multiply-adds with the zero points inside the rounding (QLinearAdd on x86-64 with FMA);
            "left_shift": both operands rescaled to twice the larger scale with 20 fraction bits, summed, requantized.
        multiply: "ratio": integer product, float32 ratio, zero point inside the rounding (QLinearMul);
            "requantize": integer product, requantized.
        average_pool: "dequantized_sum": float32 sum of dequantized taps, zero point inside the rounding;
            "raw_half_away": half_away(sum / count) of the quantized values as they are.
        mean: "float_sum": float32 sum in the order of ONNX Runtime; "requantize": the sum of the centred values,
            requantized with the multiplier divided by the count.
        softmax: "float_table": float32 exponentials and sum; "fixed_point": Q0.31 exponentials, Q12.19 sum.
        unary: "float": Q(f(DQ(x))) with the float32 functions of ONNX Runtime; "half_away": integers rescaled by a
            multiplier where the operator is piecewise linear, else half_away(f32(f(DQ(x)) * f32(1 / y_scale))) with
            correctly rounded exp and tanh.
        quantize: how real values become quantized ones; "half_even" or "half_away" of f32(x / scale).
        source: where the decisions come from.
    """

    name: str
    reproduces: str
    oracle: str
    scale: Literal["float32", "multiplier"]
    rounding: Literal["half_even", "double_rounding", "ruy_x86", "single_rounding"]
    fully_connected: Literal["requantize", "float64"]
    accumulator: Literal["int32_wrap"]
    add: Literal["fma", "left_shift"]
    multiply: Literal["ratio", "requantize"]
    average_pool: Literal["dequantized_sum", "raw_half_away"]
    mean: Literal["float_sum", "requantize"]
    softmax: Literal["float_table", "fixed_point"]
    unary: Literal["float", "half_away"]
    quantize: Literal["half_even", "half_away"]
    source: str


ORT = Numerics(
    name="ort",
    reproduces="ONNX Runtime 1.31 CPU, fused graph with integer kernels, x86-64 with AVX2 and FMA",
    oracle="ort",
    scale="float32",
    rounding="half_even",
    fully_connected="requantize",
    accumulator="int32_wrap",
    add="fma",
    multiply="ratio",
    average_pool="dequantized_sum",
    mean="float_sum",
    softmax="float_table",
    unary="float",
    quantize="half_even",
    source=(
        "microsoft/onnxruntime: core/mlas/lib/quantize.cpp, core/mlas/lib/intrinsics/avx2/qladd_avx2.cpp, "
        "core/mlas/lib/qlmul.cpp, contrib_ops/cpu/quantization/qlinear_pool.cc; held to the released binaries by tests"
    ),
)

TFLITE_REF = Numerics(
    name="tflite-ref",
    reproduces="LiteRT 2.3, reference kernels (BUILTIN_REF), any CPU",
    oracle="litert-ref",
    scale="multiplier",
    rounding="double_rounding",
    fully_connected="float64",
    accumulator="int32_wrap",
    add="left_shift",
    multiply="requantize",
    average_pool="raw_half_away",
    mean="requantize",
    softmax="fixed_point",
    unary="half_away",
    quantize="half_away",
    source=(
        "google-ai-edge/LiteRT: tflite/kernels/internal/{common.cc,common.h,quantization_util.cc}, internal/reference/"
        "{integer_ops,softmax.h,reduce.h}, kernels/{activations,add,mul,sub}.cc; held to the released binaries by tests"
    ),
)
