# SPDX-License-Identifier: Apache-2.0
"""The two conversions of float models, each checked: Keras HDF5 becomes ONNX, ONNX becomes a PyTorch file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from q8emu.errors import BadInput, BadModel, ConversionFailed, TooLarge, UnsupportedOperator
from q8emu.ptq import torch_model
from q8emu.ptq.float_check import float_inputs, largest_difference, onnx_outputs
from q8emu.ptq.keras import read_keras
from q8emu.ptq.keras_numpy import forward

if TYPE_CHECKING:
    import onnx

MAX_BYTES = 2**31
_QUANTIZED = ("DequantizeLinear", "QuantizeLinear", "QLinearConv", "QLinearMatMul")


@dataclass(frozen=True)
class FloatModel:
    """A float model and what the check of its conversion found.

    Attributes:
        model: as ONNX.
        compared: numbers of the outputs.
        largest_difference: of one of them.
        layers: of a Keras file, how many of each class.
        notes: what is not one layer, one node.
    """

    model: onnx.ModelProto
    compared: int
    largest_difference: float
    layers: dict[str, int]
    notes: tuple[str, ...]


def keras_to_onnx(path: Path) -> FloatModel:
    """Read a Keras file as ONNX; ONNX Runtime's outputs are compared with the definition of the layers in float64.

    Raises:
        Q8Error: it cannot be read, or the outputs differ.
    """
    if path.suffix == ".keras":
        raise BadInput(f"'{path}' is a .keras archive; q8emu reads HDF5: save it with model.save('{path.stem}.h5').")
    found = read_keras(path)
    feeds = float_inputs(torch_model.input_shapes(found.model))
    expected = forward(found.network, found.weights, feeds)
    compared, largest = largest_difference(expected, onnx_outputs(found.model, feeds))
    return FloatModel(found.model, compared, largest, found.layers, found.notes)


def onnx_to_torch(path: Path, output: Path) -> FloatModel:
    """Write a float ONNX model as a PyTorch file; the module it loads as is compared with ONNX Runtime.

    Raises:
        Q8Error: the model is no float ONNX model, onnx2torch does not convert it, or the outputs differ.
    """
    model = read_float_onnx(path)
    torch_model.save(model, output)
    module = torch_model.load(output)
    shapes = torch_model.input_shapes(model)
    if module.input_shapes != shapes:
        raise ConversionFailed(f"The PyTorch file takes {module.input_shapes}; expected {shapes}. Please report it.")
    feeds = float_inputs(shapes)
    reference = onnx_outputs(model, feeds)
    found = dict(zip(reference, _results(module, list(feeds.values())), strict=True))
    compared, largest = largest_difference(list(reference.values()), found)
    return FloatModel(model, compared, largest, {}, ())


def read_float_onnx(path: Path) -> onnx.ModelProto:
    """A float ONNX model, its weights inside the file.

    Raises:
        BadInput: there is no such file, or it is quantized, or an input is no float32.
        BadModel: it is no ONNX model, or its weights lie in other files.
        TooLarge: the file is.
        UnsupportedOperator: it has no opset of ONNX's own operators.
    """
    import onnx
    from google.protobuf.message import DecodeError

    if not path.is_file():
        raise BadInput(f"There is no model file '{path}'; expected the path of a float .onnx model.")
    if path.stat().st_size > MAX_BYTES:
        raise TooLarge(f"'{path}' has more than {MAX_BYTES:,} bytes, the limit.")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
        if any(t.data_location == onnx.TensorProto.EXTERNAL for t in model.graph.initializer):
            raise BadModel(f"'{path}' keeps weights in other files; save it with all of them inside.")
        onnx.checker.check_model(model)
    except (DecodeError, ValueError, onnx.checker.ValidationError) as problem:
        first = (str(problem).splitlines() or [""])[0]
        raise BadModel(
            f"'{path}' is no valid float ONNX model ({first}); only those become PyTorch files."
        ) from problem
    kinds = {node.op_type for node in model.graph.node}
    if kinds.intersection(_QUANTIZED):
        raise BadInput(f"'{path}' is quantized; a PyTorch file is written from the float model.")
    if all(o.domain for o in model.opset_import):
        raise UnsupportedOperator(f"'{path}' uses none of ONNX's own operators; expected an opset of them.")
    weights = {tensor.name for tensor in model.graph.initializer}
    for value in model.graph.input:
        if value.name not in weights and value.type.tensor_type.elem_type != onnx.TensorProto.FLOAT:
            raise BadInput(f"The input '{value.name}' of '{path}' is no float32; expected a float model.")
    return model


def _results(module: Any, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    torch = torch_model.import_torch()
    try:
        with torch.no_grad():
            found = module(*[torch.from_numpy(a) for a in arrays])
    except (RuntimeError, TypeError, ValueError) as problem:
        raise UnsupportedOperator(
            f"The module that onnx2torch makes does not run: {' '.join(str(problem).split())[:300]}."
        ) from problem
    return [part.numpy() for part in (found if isinstance(found, (list, tuple)) else [found])]
