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
        depthwise: "requantize": as the other products; "ruy_x86_by_8": whole groups of 8 channels by "ruy_x86", the
            others by "double_rounding".
        grouped: convolutions in groups; "requantize": as the other products; "double_rounding".
        fully_connected: "requantize": as the other products; "float64": half_away(f64(acc * scale)) with the binary64
            scale as it is; "float32_product": as the other products, x_scale * w_scale of a whole tensor in float32.
        rescaling: the rule of sums, element-wise products, means and piecewise linear functions.
        accumulator: width in bits and what happens beyond.
        add: "fma": two fused multiply-adds with the zero points inside the rounding (QLinearAdd on x86-64 with FMA);
            "left_shift": both operands rescaled to twice the larger scale with 20 fraction bits, summed, requantized.
        multiply: "ratio": integer product, float32 ratio, zero point inside the rounding (QLinearMul);
            "requantize": integer product, requantized.
        average_pool: "dequantized_sum": float32 sum of dequantized taps, zero point inside the rounding;
            "raw_half_away": half_away(sum / count) of the quantized values as they are.
        mean: "float_sum": float32 sum in the order of ONNX Runtime; "requantize": the sum of the centred values,
            requantized with the multiplier divided by the count; "requantize_by_16": that, and for height and width
            kept as axes the raw sum, groups of 16 channels by "ruy_x86", the others by "double_rounding".
        softmax: "float_table": float32 exponentials and sum; "fixed_point": Q0.31 exponentials, Q12.19 sum;
            "float_reciprocal": float32 exponentials, times the reciprocal of their sum, half up.
        unary: "float": Q(f(DQ(x))) with the float32 functions of ONNX Runtime; "half_away": integers rescaled by a
            multiplier where the operator is piecewise linear, else half_away(f32(f(DQ(x)) * f32(1 / y_scale))) with
            the exp and tanh of the C library (glibc up to 2.40).
        requantize: from one scale and zero point to another; "float": dequantized and quantized; "rescaling": by that
            rule; "rescaling_by_16": whole groups of 16 elements by "ruy_x86", the others by that rule.
        quantize: how real values become quantized ones; "half_even" or "half_away" of f32(x / scale);
            "reciprocal_by_8": half_even of f32(x * f32(1 / scale)) for whole groups of 8 elements, half_away of
            f64(x / scale) for the others.
        dequantize: "product": f32((q - zero_point) * scale); "affine_by_8": f32(f32(q * scale) + f32(-zero_point *
            scale)) for whole groups of 8 elements, the product for the others.
        source: where the decisions come from.
    """

    name: str
    reproduces: str
    oracle: str
    scale: Literal["float32", "multiplier"]
    rounding: Literal["half_even", "double_rounding", "ruy_x86", "single_rounding"]
    depthwise: Literal["requantize", "ruy_x86_by_8"]
    grouped: Literal["requantize", "double_rounding"]
    fully_connected: Literal["requantize", "float64", "float32_product"]
    rescaling: Literal["half_even", "double_rounding"]
    accumulator: Literal["int32_wrap"]
    add: Literal["fma", "left_shift"]
    multiply: Literal["ratio", "requantize"]
    average_pool: Literal["dequantized_sum", "raw_half_away"]
    mean: Literal["float_sum", "requantize", "requantize_by_16"]
    softmax: Literal["float_table", "fixed_point", "float_reciprocal"]
    unary: Literal["float", "half_away"]
    requantize: Literal["float", "rescaling", "rescaling_by_16"]
    quantize: Literal["half_even", "half_away", "reciprocal_by_8"]
    dequantize: Literal["product", "affine_by_8"]
    source: str


ORT = Numerics(
    name="ort",
    reproduces="ONNX Runtime 1.31 CPU, fused graph with integer kernels, x86-64 with AVX2 and FMA",
    oracle="ort",
    scale="float32",
    rounding="half_even",
    depthwise="requantize",
    grouped="requantize",
    fully_connected="requantize",
    rescaling="half_even",
    accumulator="int32_wrap",
    add="fma",
    multiply="ratio",
    average_pool="dequantized_sum",
    mean="float_sum",
    softmax="float_table",
    unary="float",
    requantize="float",
    quantize="half_even",
    dequantize="product",
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
    depthwise="requantize",
    grouped="requantize",
    fully_connected="float64",
    rescaling="double_rounding",
    accumulator="int32_wrap",
    add="left_shift",
    multiply="requantize",
    average_pool="raw_half_away",
    mean="requantize",
    softmax="fixed_point",
    unary="half_away",
    requantize="rescaling",
    quantize="half_away",
    dequantize="product",
    source=(
        "google-ai-edge/LiteRT: tflite/kernels/internal/{common.cc,common.h,quantization_util.cc}, internal/reference/"
        "{integer_ops,softmax.h,reduce.h}, kernels/{activations,add,mul,sub}.cc; held to the released binaries by tests"
    ),
)

TFLITE = Numerics(
    name="tflite",
    reproduces="LiteRT 2.3, built-in kernels without XNNPACK, x86-64 with AVX",
    oracle="litert",
    scale="multiplier",
    rounding="ruy_x86",
    depthwise="ruy_x86_by_8",
    grouped="double_rounding",
    fully_connected="float32_product",
    rescaling="double_rounding",
    accumulator="int32_wrap",
    add="left_shift",
    multiply="requantize",
    average_pool="raw_half_away",
    mean="requantize_by_16",
    softmax="float_reciprocal",
    unary="half_away",
    requantize="rescaling_by_16",
    quantize="reciprocal_by_8",
    dequantize="affine_by_8",
    source=(
        "google/ruy: ruy/kernel_avx2_fma.cc, kernel_avx512.cc; google-ai-edge/LiteRT: tflite/kernels/internal/"
        "optimized/{optimized_ops.h,integer_ops}, and the files of tflite-ref; held to the released binaries by tests"
    ),
)
