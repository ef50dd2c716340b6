# SPDX-License-Identifier: Apache-2.0
"""Profiles of hardware, of the libraries that are written for it, and of the compilers in front of it."""

from __future__ import annotations

from dataclasses import replace

from q8emu.numerics.profiles import TFLITE_REF

TOSA_DOUBLE = replace(
    TFLITE_REF,
    name="tosa-double",
    reproduces="TOSA 1.0 (tosa-tools 2026.8), RESCALE with DOUBLE_ROUND, quantized operators as MLIR lowers TFLite's",
    oracle="tosa-double",
    fully_connected="requantize",
    multiply="requantize_float64",
    average_pool="centred_half_away",
    mean="requantize_quotient",
    unary="rescaled",
    quantize="half_even",
    source=(
        "arm/tosa-specification: pseudocode/library/scale_helpers.tosac, pseudocode/operators; tensorflow: "
        "compiler/mlir/tosa/transforms; held to Arm's reference model by tests"
    ),
)

TOSA_SINGLE = replace(
    TOSA_DOUBLE,
    name="tosa-single",
    reproduces="TOSA 1.0 (tosa-tools 2026.8), RESCALE with SINGLE_ROUND, quantized operators as MLIR lowers TFLite's",
    oracle="tosa-single",
    first_shift=0,
    rounding="half_up",
    rescaling="requantize",
)

HARDWARE = (TOSA_DOUBLE, TOSA_SINGLE)
