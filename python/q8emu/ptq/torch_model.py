# SPDX-License-Identifier: Apache-2.0
"""A float model as a PyTorch file that loads without running code: the ONNX graph, and its weights as tensors.

The file is what `torch.save` makes of {"format": "q8emu.torch/1", "graph": bytes, "state": {name: tensor}}. The graph
is the ONNX model whose initializers in `state` have lost their numbers; `load` fills them in again and has onnx2torch
build the module. Why not a pickled module: docs/decisions/0009-float-torch-files-hold-no-code.md.
"""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from keyword import iskeyword
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from q8emu.errors import BackendUnavailable, BadInput, BadModel, ConversionFailed, UnsupportedOperator

if TYPE_CHECKING:
    import onnx

FORMAT = "q8emu.torch/1"
WITH_ONNX2TORCH = "pip install 'q8emu[onnx2torch]'"
_SMALLEST = 64  # elements; a smaller initializer may be a shape that onnx2torch looks at, and stays in the graph


def save(model: onnx.ModelProto, path: Path) -> Path:
    """Write the file.

    Args:
        model: float, its initializers inside.
        path: of the .pt file.

    Raises:
        BackendUnavailable: PyTorch is missing.
    """
    import onnx

    torch = import_torch()
    graph, state = onnx.ModelProto(), {}
    graph.CopyFrom(model)
    for tensor in graph.graph.initializer:
        array = onnx.numpy_helper.to_array(tensor)
        if array.dtype == np.float32 and array.size >= _SMALLEST:
            state[tensor.name] = torch.from_numpy(array.copy())
            tensor.ClearField("raw_data")
            tensor.ClearField("float_data")
    torch.save({"format": FORMAT, "graph": graph.SerializeToString(), "state": state}, path)
    return path


def load(path: Path | str, *, trust: bool = False) -> Any:
    """The torch.nn.Module of a .pt file, with the attributes `input_shapes` (None for an open axis) and `output_names`.

    Args:
        path: a file that `q8emu convert` wrote, or, with `trust`, a pickled module.
        trust: unpickle a module, which runs code that the file chooses?

    Raises:
        BackendUnavailable: PyTorch or onnx2torch is missing.
        BadInput: there is no such file, or it would have to be trusted.
        BadModel: it is damaged, or no module.
        UnsupportedOperator: onnx2torch has no such operator.
    """
    torch = import_torch()
    path = Path(path)
    if not path.is_file():
        raise BadInput(f"There is no model file '{path}'; expected the path of a .pt file.")
    if is_torchscript(path):
        raise BadInput(
            f"'{path}' is a TorchScript file; expected a float model that 'q8emu convert model.onnx model.pt' wrote, "
            "or a pickled module."
        )
    found = _unpickle(torch, path, trust=trust)
    if isinstance(found, torch.nn.Module):
        return found.eval()
    return module_of(graph_of(found, path))


def graph_of(found: Any, path: Path) -> onnx.ModelProto:
    """The ONNX model of an unpickled file, its weights filled in.

    Raises:
        BadModel: graph and weights do not fit each other.
    """
    import onnx
    from google.protobuf.message import DecodeError

    if not isinstance(found, Mapping) or found.get("format") != FORMAT:
        raise BadModel(
            f"'{path}' holds no module (a state dict has weights and no layers); expected a file that "
            "'q8emu convert model.onnx model.pt' wrote."
        )
    model, state = onnx.ModelProto(), found.get("state")
    try:
        model.ParseFromString(found["graph"])
        missing = dict(state)  # type: ignore[arg-type]
        for tensor in model.graph.initializer:
            if tensor.data_location == onnx.TensorProto.EXTERNAL:
                raise BadModel(f"'{path}': the weights '{tensor.name}' are in another file; expected them inside.")
            if tensor.name in missing:
                tensor.raw_data = _numbers(missing.pop(tensor.name), tensor, path)
    except (DecodeError, AttributeError, LookupError, TypeError, ValueError) as problem:
        raise BadModel(
            f"'{path}' is damaged: its graph or weights are of the wrong kind; convert it again."
        ) from problem
    if missing:
        raise BadModel(f"'{path}' has weights '{next(iter(missing))}', which its graph does not; convert it again.")
    try:
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, ValueError) as problem:
        raise BadModel(f"'{path}' is damaged: {str(problem).splitlines()[0]}; convert it again.") from problem
    return model


def module_of(model: onnx.ModelProto) -> Any:
    """The torch.nn.Module that onnx2torch makes of a float ONNX model.

    Raises:
        BackendUnavailable: onnx2torch is missing.
        UnsupportedOperator: it does not convert an operator of the model.
    """
    torch = import_torch()
    named = _named(torch, model)
    shapes = input_shapes(named)
    plain = all(name.isascii() and name.isidentifier() and not iskeyword(name) for name in shapes)
    with _quiet():
        try:
            from onnx2torch import convert
        except ImportError as problem:
            raise BackendUnavailable(
                f"From ONNX to PyTorch it takes onnx2torch ({WITH_ONNX2TORCH}), which does not import: {problem}."
            ) from problem
        try:
            module = convert(named, save_input_names=plain).eval()
        except (ArithmeticError, LookupError, NotImplementedError, RuntimeError, TypeError, ValueError) as problem:
            raise UnsupportedOperator(
                f"onnx2torch does not convert this model: {' '.join(str(problem).split())[:300]}."
            ) from problem
    for node in named.graph.node:  # onnx2torch makes it a mean, which PyTorch's engines sum in float
        if node.op_type == "GlobalAveragePool":
            module.add_module(node.name, torch.nn.AdaptiveAvgPool2d(1))
    if sum(call.op == "call_module" for call in module.graph.nodes) != len(named.graph.node):
        raise ConversionFailed("onnx2torch makes another number of modules than the model has nodes. Please report it.")
    module.input_shapes, module.output_names = shapes, tuple(value.name for value in model.graph.output)
    return module


def _named(torch: Any, model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with plain, unique names of nodes: they become names in code that torch.fx writes and runs."""
    import onnx

    named, taken = onnx.ModelProto(), {"initializers", "input_shapes", "output_names"}
    named.CopyFrom(model)
    for number, node in enumerate(named.graph.node):
        name = re.sub(r"[^0-9A-Za-z_]", "_", node.name or node.op_type)
        if not name.isidentifier() or iskeyword(name) or name in taken or hasattr(torch.nn.Module, name):
            name = f"{name}_{number}" if name[:1].isalpha() else f"node_{name}_{number}"
        if name in taken:
            raise UnsupportedOperator(f"The node '{node.name}' has the name of another one; give them different names.")
        taken.add(name)
        node.name = name
    return named


def input_shapes(model: onnx.ModelProto) -> dict[str, tuple[int | None, ...]]:
    """Shapes of the inputs by name, without the initializers that old files list among them; None for an open axis."""
    weights = {tensor.name for tensor in model.graph.initializer}
    return {
        value.name: tuple(d.dim_value if d.HasField("dim_value") else None for d in value.type.tensor_type.shape.dim)
        for value in model.graph.input
        if value.name not in weights
    }


def import_torch() -> Any:
    """The package torch.

    Raises:
        BackendUnavailable: it is missing; says what brings it.
    """
    with _quiet():
        try:
            import torch
        except ImportError as problem:
            raise BackendUnavailable(
                f"PyTorch (pip install 'q8emu[torch]') is needed here and does not import: {problem}."
            ) from problem
    return torch


def _unpickle(torch: Any, path: Path, *, trust: bool) -> Any:
    try:
        with _quiet():
            return torch.load(path, map_location="cpu", weights_only=not trust)
    except pickle.UnpicklingError as problem:
        if trust:
            raise BadModel(f"'{path}' is no file that torch.save wrote: {_first_line(problem)}.") from problem
        raise BadInput(
            f"'{path}' holds more than tensors, and loading it would run code that the file chooses: convert the "
            "model from ONNX instead, or say --trust (in Python: trust=True) if you made the file."
        ) from problem
    except (
        AttributeError,
        EOFError,
        ImportError,
        LookupError,
        OSError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as problem:
        raise BadModel(f"'{path}' is no file that torch.save wrote, or damaged: {_first_line(problem)}.") from problem


def _numbers(tensor: Any, wanted: onnx.TensorProto, path: Path) -> bytes:
    array = tensor.detach().numpy()
    if array.dtype != np.float32 or list(array.shape) != list(wanted.dims):
        raise BadModel(
            f"'{path}': the weights '{wanted.name}' are {array.dtype}{list(array.shape)}; expected "
            f"float32{list(wanted.dims)}."
        )
    data: bytes = array.tobytes()
    return data


def is_torchscript(path: Path) -> bool:
    """Is it an archive that torch.jit.save wrote? Paths that cannot be read are not."""
    import zipfile

    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.partition("/")[2] == "constants.pkl" for name in archive.namelist())
    except (OSError, ValueError, zipfile.BadZipFile):
        return False


def _first_line(problem: BaseException) -> str:
    lines = str(problem).split("\n")
    return lines[0][:200].rstrip(".") or type(problem).__name__


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the warnings of packages about their own future."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
