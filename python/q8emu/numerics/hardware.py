# SPDX-License-Identifier: Apache-2.0
"""Profiles of hardware, of the libraries that are written for it, and of the compilers in front of it."""

from __future__ import annotations

from dataclasses import replace

from q8emu.numerics.profiles import ORT, TFLITE_REF, TFLM

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
    beyond_int32="refuse",
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

TOSA_INEXACT = replace(
    TOSA_SINGLE,
    name="tosa-inexact",
    reproduces="TOSA 1.0, RESCALE with INEXACT_ROUND as the reference model of tosa-tools 2026.8 chooses to round",
    oracle="tosa-inexact",
    scale="multiplier_float32",
    rounding="half_even",
)

CMSIS_NN = replace(
    TFLM,
    name="cmsis-nn",
    reproduces="CMSIS-NN, C code, int8, as TFLite Micro prepares it; operators it has not are TFLite Micro's own",
    oracle="",
    source=(
        "ARM-software/CMSIS-NN: Include/arm_nnsupportfunctions.h (arm_nn_requantize), transcribed and compiled: it "
        "made the golden values; the rest as in tflm"
    ),
)

CMSIS_NN_SINGLE = replace(
    CMSIS_NN,
    name="cmsis-nn-single",
    reproduces="CMSIS-NN built with CMSIS_NN_USE_SINGLE_ROUNDING, otherwise as cmsis-nn",
    first_shift=0,
    rounding="half_up",
    rescaling="requantize",
)

GEMMINI = replace(
    ORT,
    name="gemmini",
    reproduces="Gemmini with the default configuration (int8, float32 scales); Softmax is ONNX Runtime's on the CPU",
    oracle="",
    add="per_branch",
    multiply="none",
    average_pool="none",
    mean="pool_only",
    unary="none",
    source=(
        "ucb-bar/gemmini-rocc-tests: include/gemmini_params.h (ACC_SCALE, MVIN_SCALE), include/gemmini.h (resadd); "
        "the macros, transcribed and compiled, made the golden values"
    ),
)

NVDLA = replace(
    ORT,
    name="nvdla",
    reproduces="NVDLA's SDP with int8 in and out (formula, not the binary); Softmax is ONNX Runtime's on the CPU",
    oracle="",
    scale="multiplier",
    multiplier_bits=16,
    rounding="half_away",
    beyond="saturate",
    add="converted",
    multiply="none",
    average_pool="none",
    mean="requantize_quotient",
    unary="none",
    requantize="rescaling",
    source="nvdla/hw: cmod/hls/sdp/sdp_c.cpp, cmod/hls/include/nvdla_int.h",
)

NNOM = replace(
    ORT,
    name="nnom",
    reproduces="NNoM's own backend with rounding; Softmax is ONNX Runtime's on the CPU",
    oracle="",
    scale="power_of_two",
    snap="nearest",
    rounding="half_up",
    add="aligned",
    multiply="requantize_float64",
    average_pool="raw_toward_zero",
    mean="shift_toward_zero",
    unary="none",
    requantize="rescaling",
    source="majianjia/nnom: inc/nnom.h, src/backends/nnom_local.c; transcribed and compiled for the golden values",
)

ORT_ARM = replace(
    ORT,
    name="ort-arm",
    reproduces="ONNX Runtime 1.32 CPU, fused graph with integer kernels, 64-bit ARM with dot products (Cortex-A76)",
    oracle="",
    overflow="pairs_of_taps",
    add="qlinear_22",
    multiply="ratio_fused",
    mean="pool_only",
    source=(
        "microsoft/onnxruntime: core/mlas/lib/{qladd,qlmul,quantize}.cpp, and the files of ort; its released binary on "
        "an emulated Cortex-A76 made the golden values"
    ),
)

ORT_X64_AVX2 = replace(
    ORT,
    name="ort-x64-avx2",
    reproduces="ONNX Runtime 1.32 CPU as the profile ort, x86-64 with AVX2 or AVX-512 and without VNNI",
    oracle="ort-x64-avx2",
    overflow="pair_saturate",
    source=(
        "microsoft/onnxruntime: core/mlas/lib/x86_64/{QgemmU8S8,QgemvU8S8,ConvSym}KernelAvx2.S, and "
        "the files of ort; its released binary on an emulated Haswell made the golden values"
    ),
)

HARDWARE = (
    CMSIS_NN,
    CMSIS_NN_SINGLE,
    GEMMINI,
    NNOM,
    NVDLA,
    ORT_ARM,
    ORT_X64_AVX2,
    TOSA_DOUBLE,
    TOSA_INEXACT,
    TOSA_SINGLE,
)
