# SPDX-License-Identifier: Apache-2.0
"""The profile qdq on whole models: against ONNX Runtime without optimizations, all but the float sums of products.

50 images in the normal run, Q8EMU_IMAGES sets another number. Single operators are rows of the conformance table.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from q8emu.backends.cpu import this_cpu
from q8emu.numerics import profile
from q8emu.verify import verify

IMAGES = int(os.environ.get("Q8EMU_IMAGES", "50"))
MODELS = sorted((Path(__file__).parent.parent / "golden" / "models").glob("resnet8_*_qdq_*.onnx"))
# What the runtime sums in float, in an order of its own.
SUMMED = {"Conv", "Gemm", *(() if this_cpu().sums_by_8 else ("Softmax",))}


@pytest.mark.parametrize("model", MODELS, ids=lambda m: m.stem)
def test_every_operator_but_the_products_equals_its_float_operator(
    model: Path, cifar10_test: tuple[np.ndarray, np.ndarray]
) -> None:
    """Given the oracle's own inputs, zero elements of Add, pools and boundaries differ; the products are counted."""
    images = cifar10_test[0][:IMAGES].astype(np.float32)
    report = verify(model, {"image": images}, numerics="qdq", inputs_from=f"{len(images)} CIFAR-10 test images")
    (oracle,) = [o for o in report.oracles if o.oracle == "ort-unfused"]
    assert report.deciding == ("ort-unfused",)
    assert oracle.verdict in ("exact", "exact on integer nodes"), oracle.sentence
    rows = [*oracle.tensors, *oracle.outputs]
    assert {row.operator for row in rows if not row.promised} == SUMMED
    assert Counter(row.operator for row in rows if row.promised)["Add"] == 3
    assert all(row.local_differing == 0 for row in rows if row.promised)
    for row in rows:
        if not row.promised:
            print(f"{model.stem} {row.name} {row.operator}: {row.local_differing:,} of {row.elements:,} differ")


def test_the_promise_is_about_the_sum_that_is_reproduced(cifar10_test: tuple[np.ndarray, np.ndarray]) -> None:
    """Under the profile ort the residual Adds are another form than the float operator: nothing is promised."""
    assert profile("qdq").add == "float"
    images = {"image": cifar10_test[0][:20].astype(np.float32)}
    (oracle,) = verify(MODELS[0], images, numerics="ort", against=["ort-unfused"]).oracles
    adds = [row for row in oracle.tensors if row.operator == "Add"]
    assert adds
    assert not any(row.promised for row in adds)


def between(
    path: Path, op: str, shape: list[int], x: tuple[float, int], y: tuple[float, int], opset: int, **attrs: Any
) -> Path:
    """A model of one float operator from int8 to int8, with scale and zero point of both."""
    values = {
        "x_scale": np.float32(x[0]),
        "x_point": np.int8(x[1]),
        "y_scale": np.float32(y[0]),
        "y_point": np.int8(y[1]),
    }
    graph = helper.make_graph(
        [
            helper.make_node("DequantizeLinear", ["x", "x_scale", "x_point"], ["real"]),
            helper.make_node(op, ["real"], ["found"], **attrs),
            helper.make_node("QuantizeLinear", ["found", "y_scale", "y_point"], ["y"]),
        ],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.INT8, shape)],
        [helper.make_tensor_value_info("y", TensorProto.INT8, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), path)
    return path


@pytest.mark.parametrize("opset", [15, 19])
@pytest.mark.parametrize("strides", [[1, 1], [2, 3], [3, 2]])
@pytest.mark.parametrize("kernel", [[3, 5], [2, 4]])
@pytest.mark.parametrize("ceil_mode", [0, 1])
@pytest.mark.parametrize("count_include_pad", [0, 1])
def test_a_float_average_is_summed_in_its_order(
    tmp_path: Path, opset: int, strides: list[int], kernel: list[int], ceil_mode: int, count_include_pad: int
) -> None:
    """Before opset 19 ONNX Runtime has kernels of other orders, where it does not have to both round up and count."""
    attrs = {"kernel_shape": kernel, "strides": strides, "ceil_mode": ceil_mode, "count_include_pad": count_include_pad}
    shape, x_scale = [2000, 16, 3, 5], 0.59292287
    y_scale = x_scale * 2 / float(np.prod(kernel))  # so that half of the sums are near ties
    path = between(tmp_path / "mean.onnx", "AveragePool", shape, (x_scale, 0), (y_scale, -78), opset, **attrs)
    x = np.random.default_rng(0).integers(-128, 128, shape, np.int8)
    (found,) = verify(path, {"x": x}, numerics="qdq", against=["ort-unfused"]).oracles
    assert found.verdict == "exact", found.sentence


@pytest.mark.parametrize("opset", [11, 13])
@pytest.mark.parametrize("depth", [1, 7, 8, 24, 25, 100])
def test_a_float_softmax_is_summed_in_its_order(tmp_path: Path, opset: int, depth: int) -> None:
    """Before opset 13 all axes from the named one on are one. With AVX-512 nothing is promised."""
    shape = [2000, depth, 1 if opset == 11 else 3]
    x = np.random.default_rng(depth).integers(-128, 128, shape, np.int8)
    x[0], x[1] = 127, -128
    for x_scale, y_scale in ((2.0**-5, 1 / 256), (0.0713, 0.0039), (0.9, 1e-5)):
        path = between(tmp_path / "s.onnx", "Softmax", shape, (x_scale, 3), (y_scale, -128), opset, axis=1)
        (found,) = verify(path, {"x": x}, numerics="qdq", against=["ort-unfused"]).oracles
        (row,) = found.tensors
        assert row.promised == this_cpu().sums_by_8
        assert found.verdict == "exact" or not row.promised, found.sentence


def test_a_softmax_of_numpy_is_not_promised(tmp_path: Path) -> None:
    path = between(tmp_path / "s.onnx", "Softmax", [4, 9], (0.1, 0), (1 / 256, -128), 13, axis=1)
    x = np.random.default_rng(0).integers(-128, 128, (4, 9), np.int8)
    (found,) = verify(path, {"x": x}, numerics="qdq", against=["onnx-reference"]).oracles
    assert [row.promised for row in found.tensors] == [False]
