# SPDX-License-Identifier: Apache-2.0
"""ONNX Runtime's static quantizer as one function: a float model and the ranges of its tensors become a quantized file.

Three things are settled here. The first two let the QDQ and the QOperator file of a recipe hold the same parameters.
- The output of Softmax has scale 1/256. The quantizer always does this in the QOperator format; in the QDQ format it
  would take the calibrated range.
- The weights of a uint8 model are uint8 per tensor, but int8 per channel. The quantizer writes int8 weights for
  QLinearConv per channel whatever it is asked for; the QDQ file follows.
- In the QDQ format an operator that only moves values is quantized also where it is the first one, so that the
  Transpose of NHWC pixels is an integer step. The QOperator format has no such form: there it is done in float.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

from q8emu.ptq.calibrate import quietly

DTYPES = {"int8": QuantType.QInt8, "uint8": QuantType.QUInt8}
STYLES = {"qdq": QuantFormat.QDQ, "qoperator": QuantFormat.QOperator}

Overrides = Mapping[str, list[dict[str, Any]]]


@dataclass(frozen=True)
class Recipe:
    """What the quantizer is asked for.

    Attributes:
        activations: "int8" or "uint8".
        style: "qdq" or "qoperator".
        per_channel: a scale for each output channel of the weights?
        reduce_range: weights in 7 bits?
    """

    activations: str = "int8"
    style: str = "qdq"
    per_channel: bool = False
    reduce_range: bool = False

    @property
    def weights(self) -> str:
        """Dtype of the weights."""
        return "int8" if self.per_channel else self.activations


def quantize(
    model: onnx.ModelProto, ranges: str, recipe: Recipe, operators: Sequence[str], overrides: Overrides | None = None
) -> bytes:
    """The quantized model file; depends on the arguments and on the version of onnxruntime.

    Args:
        model: in float.
        ranges: of its tensors, from `calibrate.tensor_ranges` with the same operators.
        recipe: what to write.
        operators: the ONNX operators to quantize.
        overrides: parameters of single tensors, in the form of the quantizer's TensorQuantOverrides; QDQ only.
    """
    with tempfile.TemporaryDirectory() as folder, quietly():
        source, cache, target = (Path(folder, n) for n in ("float.onnx", "ranges.json", "quantized.onnx"))
        onnx.save(model, source)
        cache.write_text(ranges)
        fixed = _softmax_scales(model, recipe.activations) if "Softmax" in operators else {}
        fixed |= overrides or {}
        options = {"TensorQuantOverrides": fixed, "ForceQuantizeNoInputCheck": True}
        quantize_static(
            source,
            target,
            quant_format=STYLES[recipe.style],
            op_types_to_quantize=list(operators),
            per_channel=recipe.per_channel,
            reduce_range=recipe.reduce_range,
            activation_type=DTYPES[recipe.activations],
            weight_type=DTYPES[recipe.weights],
            calibrate_method=_method(ranges),
            calibration_cache_path=cache,
            extra_options=options if recipe.style == "qdq" else {},
        )
        return target.read_bytes()


def _method(ranges: str) -> Any:
    return CalibrationMethod[json.loads(ranges)["calibration_method"]["value"].rpartition(".")[2]]


def _softmax_scales(model: onnx.ModelProto, dtype: str) -> dict[str, list[dict[str, Any]]]:
    fixed = {
        "quant_type": DTYPES[dtype],
        "scale": np.array(1 / 256, np.float32),
        "zero_point": np.array(np.iinfo(dtype).min, dtype),
    }
    return {node.output[0]: [dict(fixed)] for node in model.graph.node if node.op_type == "Softmax"}
