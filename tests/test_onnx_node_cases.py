# SPDX-License-Identifier: Apache-2.0
"""The node cases that the installed onnx generates for the quantized operators: in 8 bits they pass exactly.

Each case is in scope, or in OUT_OF_SCOPE with the reason; a case that a newer onnx adds fails here until it is decided.
The cases feed every operand at run time. What q8emu needs to know when it reads the model (weights, scales, and the
zero points of QLinearConv, QLinearMatMul, QuantizeLinear and DequantizeLinear) is frozen into initializers.
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, numpy_helper

from q8emu.canonical import canonicalize
from q8emu.errors import Q8Error
from q8emu.lower import lower
from q8emu.numerics import profile
from q8emu.readers.onnx import read_onnx
from q8emu.run import Runner
from strategies_agreement import isas

# operator → operands that stay run-time inputs
RUN_TIME = {
    "ConvInteger": (0, 2),
    "DequantizeLinear": (0,),
    "DynamicQuantizeLinear": (0,),
    "MatMulInteger": (0, 1, 2, 3),
    "QLinearConv": (0,),
    "QLinearMatMul": (0, 3),
    "QuantizeLinear": (0,),
}
IN_SCOPE = (
    "test_convinteger_with_padding",
    "test_convinteger_without_padding",
    "test_dequantizelinear",
    "test_dequantizelinear_axis",
    "test_dynamicquantizelinear",
    "test_dynamicquantizelinear_max_adjusted",
    "test_dynamicquantizelinear_min_adjusted",
    "test_matmulinteger",
    "test_qlinearconv",
    "test_qlinearmatmul_2D_int8_float32",
    "test_qlinearmatmul_2D_uint8_float32",
    "test_qlinearmatmul_3D_int8_float32",
    "test_qlinearmatmul_3D_uint8_float32",
    "test_quantizelinear",
    "test_quantizelinear_axis",
)
FLOAT8 = "float8 values are not integers"
FLOAT4 = "float4 values are not integers"
FLOAT16 = "float16 scales; the profile's arithmetic has float32 ones"
SIXTEEN = "16-bit values; q8emu emulates 8-bit networks"
FOUR = "4-bit values; q8emu emulates 8-bit networks"
TWO = "2-bit values; q8emu emulates 8-bit networks"
BLOCKED = "a scale per block of an axis; q8emu has one per tensor or per channel"
EXPANDED = "the operator written out in float operators, with a scale that only exists at run time"
OUT_OF_SCOPE = {
    "test_dequantizelinear_blocked": BLOCKED,
    "test_dequantizelinear_e4m3fn": FLOAT8,
    "test_dequantizelinear_e4m3fn_float16": FLOAT8,
    "test_dequantizelinear_e4m3fn_zero_point": FLOAT8,
    "test_dequantizelinear_e5m2": FLOAT8,
    "test_dequantizelinear_float4e2m1": FLOAT4,
    "test_dequantizelinear_int16": SIXTEEN,
    "test_dequantizelinear_int2": TWO,
    "test_dequantizelinear_int4": FOUR,
    "test_dequantizelinear_uint16": SIXTEEN,
    "test_dequantizelinear_uint2": TWO,
    "test_dequantizelinear_uint4": FOUR,
    "test_dynamicquantizelinear_expanded": EXPANDED,
    "test_dynamicquantizelinear_max_adjusted_expanded": EXPANDED,
    "test_dynamicquantizelinear_min_adjusted_expanded": EXPANDED,
    "test_qlinearmatmul_2D_int8_float16": FLOAT16,
    "test_qlinearmatmul_2D_uint8_float16": FLOAT16,
    "test_qlinearmatmul_3D_int8_float16": FLOAT16,
    "test_qlinearmatmul_3D_uint8_float16": FLOAT16,
    "test_quantizelinear_blocked_asymmetric": BLOCKED,
    "test_quantizelinear_blocked_symmetric": BLOCKED,
    "test_quantizelinear_e4m3fn": FLOAT8,
    "test_quantizelinear_e5m2": FLOAT8,
    "test_quantizelinear_float4e2m1": FLOAT4,
    "test_quantizelinear_int16": SIXTEEN,
    "test_quantizelinear_int2": TWO,
    "test_quantizelinear_int4": FOUR,
    "test_quantizelinear_uint16": SIXTEEN,
    "test_quantizelinear_uint2": TWO,
    "test_quantizelinear_uint4": FOUR,
}


@cache
def cases() -> dict[str, Any]:
    """Every generated node case with one of the operators in its graph."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases

        found = collect_testcases(None)
    return {c.name: c for c in found if c.model and any(n.op_type in RUN_TIME for n in c.model.graph.node)}


def test_every_case_is_decided() -> None:
    assert set(cases()) == set(IN_SCOPE) | set(OUT_OF_SCOPE)
    assert not set(IN_SCOPE) & set(OUT_OF_SCOPE)


@pytest.mark.parametrize("name", IN_SCOPE)
def test_case_in_8_bits(name: str) -> None:
    """Exactly the expected outputs, from the definition and from the kernels of every ISA."""
    case = cases()[name]
    for inputs, expected in case.data_sets:
        proto, feeds = _frozen(case.model, inputs)
        program = lower(canonicalize(read_onnx(proto.SerializeToString())), profile("ort"), no_host=True)
        for kernels in ("spec", *isas()):
            found = Runner(program, kernels=kernels, threads=1).run(feeds).outputs
            for value, wanted in zip(case.model.graph.output, expected, strict=True):
                got, wanted = found[value.name], np.asarray(wanted)
                assert (got.dtype, got.shape) == (wanted.dtype, wanted.shape), (name, kernels)
                assert got.tobytes() == wanted.tobytes(), (name, kernels, value.name, got, wanted)


@pytest.mark.parametrize("name", OUT_OF_SCOPE)
def test_case_out_of_scope_is_refused(name: str) -> None:
    """Nothing out of scope is computed as if it were in scope: without host steps it is refused in a sentence."""
    case = cases()[name]
    proto, _ = _frozen(case.model, case.data_sets[0][0])
    with pytest.raises(Q8Error, match=r"\.$"):
        lower(canonicalize(read_onnx(proto.SerializeToString())), profile("ort"), no_host=True)


def _frozen(model: ModelProto, inputs: Any) -> tuple[ModelProto, dict[str, np.ndarray]]:
    """The model with the operands that must be constant as initializers, and what remains to be fed."""
    node = model.graph.node[0]
    run_time = {node.input[i] for i in RUN_TIME.get(node.op_type, (0,)) if i < len(node.input)}
    copy = ModelProto()
    copy.CopyFrom(model)
    del copy.graph.input[:]
    feeds = {}
    for value, data in zip(model.graph.input, inputs, strict=True):
        if value.name in run_time or node.op_type not in RUN_TIME:
            copy.graph.input.append(value)
            feeds[value.name] = np.asarray(data)
        else:
            tensor = data if isinstance(data, TensorProto) else numpy_helper.from_array(np.asarray(data), value.name)
            copy.graph.initializer.append(tensor)
    return copy, feeds
