# SPDX-License-Identifier: Apache-2.0
"""One record per arithmetic; those that share most decisions are made from one another. `Numerics` has the fields."""

from __future__ import annotations

from dataclasses import replace

from q8emu.numerics.numerics import Numerics

ORT = Numerics(
    name="ort",
    reproduces="ONNX Runtime 1.32 CPU, fused graph with integer kernels, x86-64 with AVX2 and FMA",
    oracle="ort",
    scale="float32",
    multiplier_bits=32,
    fraction_bits=0,
    mantissa="half_away",
    carry="renormalize",
    snap="refuse",
    first_shift=0,
    first_rounding="half_up",
    rounding="half_even",
    beyond="wrap",
    conversion="saturate",
    float_bias="quantized",
    depthwise="requantize",
    grouped="requantize",
    fully_connected="requantize",
    rescaling="requantize",
    accumulator_bits=32,
    overflow="wrap",
    bias_bits=32,
    add="fma",
    multiply="ratio",
    average_pool="dequantized_sum",
    mean="float_sum",
    softmax="float_table",
    unary="float",
    requantize="float",
    quantize="half_even",
    dequantize="product",
    beyond_int16="keep",
    beyond_int32="keep",
    delegate="none",
    source=(
        "microsoft/onnxruntime: core/mlas/lib/quantize.cpp, core/mlas/lib/intrinsics/avx2/qladd_avx2.cpp, "
        "core/mlas/lib/qlmul.cpp, contrib_ops/cpu/quantization/qlinear_pool.cc; held to the released binaries by tests"
    ),
)

QDQ = replace(
    ORT,
    name="qdq",
    reproduces="ONNX Runtime 1.32 CPU, x86-64 with AVX2, optimizations off, QDQ files; all but Conv, Gemm, MatMul",
    oracle="ort-unfused",
    add="float",
    multiply="float",
    average_pool="float",
    softmax="float_by_8",
    source=(
        "microsoft/onnxruntime: core/providers/cpu/quantization/quantize_linear.cc, core/mlas/lib/pooling.cpp, "
        "core/mlas/lib/compute.cpp, core/providers/cpu/nn/pool_functors.h; held to the released binaries by tests"
    ),
)

TFLITE_REF = replace(
    ORT,
    name="tflite-ref",
    reproduces="LiteRT 2.3, reference kernels (BUILTIN_REF), any CPU",
    oracle="litert-ref",
    scale="multiplier",
    first_shift=31,
    first_rounding="half_up",
    rounding="half_away",
    fully_connected="float64",
    rescaling="double_rounding",
    add="left_shift",
    multiply="requantize",
    average_pool="raw_half_away",
    mean="requantize",
    softmax="fixed_point",
    unary="half_away",
    requantize="rescaling",
    quantize="half_away",
    source=(
        "google-ai-edge/LiteRT: tflite/kernels/internal/{common.cc,common.h,quantization_util.cc}, internal/reference/"
        "{integer_ops,softmax.h,reduce.h}, kernels/{activations,add,mul,sub}.cc; held to the released binaries by tests"
    ),
)

TFLITE = replace(
    TFLITE_REF,
    name="tflite",
    reproduces="LiteRT 2.3, built-in kernels without XNNPACK, x86-64 with AVX",
    oracle="litert",
    rounding="half_up",
    depthwise="ruy_x86_by_8",
    grouped="double_rounding",
    fully_connected="float32_product",
    mean="requantize_by_16",
    softmax="float_reciprocal",
    requantize="rescaling_by_16",
    quantize="reciprocal_by_8",
    dequantize="affine_by_8",
    beyond_int16="refuse",
    source=(
        "google/ruy: ruy/kernel_avx2_fma.cc, kernel_avx512.cc; google-ai-edge/LiteRT: tflite/kernels/internal/"
        "optimized/{optimized_ops.h,integer_ops}, and the files of tflite-ref; held to the released binaries by tests"
    ),
)

TFLM = replace(
    TFLITE_REF,
    name="tflm",
    reproduces="TFLite Micro of October 2026 (PyPI tflite-micro), reference kernels, any CPU",
    oracle="tflm",
    fully_connected="requantize",
    unary="fixed_point",
    source=(
        "tensorflow/tflite-micro: tensorflow/lite/micro/kernels/{activations_common,logistic_common,"
        "tanh}.cc, and the files of tflite-ref; held to the released binary by tests"
    ),
)

XNNPACK = replace(
    TFLITE,
    name="xnnpack",
    reproduces="LiteRT 2.3 as it comes, with XNNPACK, x86-64 with AVX",
    oracle="litert-xnnpack",
    scale="float32",
    first_shift=0,
    rounding="half_even",
    depthwise="requantize",
    grouped="requantize",
    fully_connected="requantize",
    add="common_shift",
    multiply="float32",
    mean="affine",
    unary="half_even",
    requantize="eight_bits",
    quantize="reciprocal",
    dequantize="product",
    beyond_int32="refuse",
    delegate="xnnpack",
    source=(
        "google/XNNPACK: src/microparams-init.c, src/xnnpack/requantization.h, src/reference/unary-elementwise.cc; "
        "google-ai-edge/LiteRT: tflite/delegates/xnnpack/xnnpack_delegate.cc; held to the released binaries by tests"
    ),
)

TORCH_FBGEMM = replace(
    ORT,
    name="torch-fbgemm",
    reproduces="PyTorch 2.13 CPU, engine fbgemm, x86-64 with AVX-512 and VNNI",
    oracle="torch-fbgemm",
    overflow="pair_saturate_depthwise",
    conversion="x86",
    float_bias="added",
    add="float_reciprocal",
    multiply="float_reciprocal",
    average_pool="by_memory",
    requantize="float_by_8",
    quantize="half_even_fused",
    source=(
        "pytorch/FBGEMM: include/fbgemm/OutputProcessing-inl.h, src/QuantUtilsAvx2.cc; pytorch/pytorch: aten/src/ATen/"
        "native/quantized/cpu/{qconv.cpp,qlinear.cpp,kernels/QuantizedOpKernels.cpp}; held to the released binaries by "
        "tests"
    ),
)

TORCH_FBGEMM_AVX2 = replace(
    TORCH_FBGEMM,
    name="torch-fbgemm-avx2",
    reproduces="PyTorch 2.13 CPU, engine fbgemm, x86-64 with AVX2 and without AVX-512",
    oracle="torch-fbgemm-avx2",
    overflow="pair_saturate_all",
    add="float_reciprocal_added",
    average_pool="by_memory_8",
)

TORCH_QNNPACK = replace(
    TORCH_FBGEMM,
    name="torch-qnnpack",
    reproduces="PyTorch 2.13 CPU, engine qnnpack, x86-64",
    oracle="torch-qnnpack",
    scale="float32_reciprocal",
    overflow="wrap",
    float_bias="reciprocal",
    add="common_shift_22",
    average_pool="ratio",
    source=(
        "pytorch/pytorch: aten/src/ATen/native/quantized/cpu/{qconv.cpp,qlinear.cpp,BinaryOps.cpp,AveragePool2d.cpp,"
        "qnnpack/src/}; held to the released binaries by tests"
    ),
)
