# SPDX-License-Identifier: Apache-2.0
"""What a model file is, told from its content: framework, dtype of its activations, size and hash."""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from q8emu.emulator import Emulator, Options, model_format
from q8emu.errors import Q8Error
from q8emu.fingerprint import model_sha256
from q8emu.graph import QUANTIZED_DTYPES
from q8emu.readers.tflite import activation_dtypes

LARGEST_CODE = 2**22  # bytes of one file of TorchScript code
FLOAT, UNKNOWN = "float32", "unknown"
IMAGE_SHAPES: tuple[tuple[int, ...], ...] = ((1, 3, 32, 32), (1, 32, 32, 3))  # CIFAR-10, NCHW and NHWC


@dataclass(frozen=True)
class ModelFile:
    """A model file.

    Attributes:
        name: without its folder.
        framework: "ONNX", "TFLite" or "PyTorch".
        dtype: of most activations: "float32", "int8" or "uint8"; "unknown" where q8emu cannot tell.
        bytes: its size.
        sha256: of its content.
    """

    name: str
    framework: str
    dtype: str
    bytes: int
    sha256: str

    def to_json(self) -> dict[str, Any]:
        """Plain values for json.dumps."""
        return asdict(self)


def is_torchscript(model: Path) -> bool:
    """Is it an archive with code in it, as torch.jit.save writes? Files that cannot be read are not."""
    try:
        with zipfile.ZipFile(model) as archive:
            return any("/code/" in name for name in archive.namelist())
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        return False


def describe(model: Path) -> ModelFile:
    """Look at a model file.

    Example:
        >>> from q8emu.models import default_model
        >>> described = describe(default_model())
        >>> described.framework, described.dtype
        ('ONNX', 'int8')
    """
    kind = model_format(model)
    return ModelFile(model.name, kind, _dtype(model, kind), model.stat().st_size, model_sha256(model))


def input_shapes(model: Path) -> dict[str, tuple[int, ...]]:
    """Shapes under which q8emu can read a file: those of a TorchScript file's traced example, else CIFAR-10 images.

    Returns:
        As `Options.shapes`; empty where the file itself says enough.
    """
    if model_format(model) == "PyTorch" and is_torchscript(model):
        choices: list[dict[str, tuple[int, ...]]] = [{}, *({"": shape} for shape in IMAGE_SHAPES)]
        for shapes in choices:
            try:
                Emulator(model, Options(shapes=shapes))
            except Q8Error:
                continue
            return shapes
    return {}


def _dtype(model: Path, kind: str) -> str:
    """The dtype of most activations; "float32" where none is quantized, "unknown" where q8emu cannot tell."""
    if kind == "PyTorch" and not is_torchscript(model):
        return FLOAT
    try:
        graph = Emulator(model, Options(shapes=input_shapes(model))).graph
        return _most(graph.tensors[name].dtype for node in graph.nodes for name in node.outputs if name)
    except Q8Error:
        if kind == "TFLite":
            return _most(activation_dtypes(model))
        return FLOAT if _is_float(model, kind) else UNKNOWN


def _is_float(model: Path, kind: str) -> bool:
    """Does no operator of an ONNX file, or no line of TorchScript code, say that something is quantized?"""
    if kind == "PyTorch":
        with zipfile.ZipFile(model) as archive:
            code = [info for info in archive.infolist() if "/code/" in info.filename]
            return all(i.file_size < LARGEST_CODE and b"quantize" not in archive.read(i) for i in code)
    import onnx

    nodes = onnx.load(str(model), load_external_data=False).graph.node
    return not any(word in node.op_type for node in nodes for word in ("Quantize", "QLinear", "QGemm", "Integer"))


def _most(dtypes: Iterable[str]) -> str:
    counts = Counter(dtype for dtype in dtypes if dtype in QUANTIZED_DTYPES)
    return counts.most_common(1)[0][0] if counts else FLOAT
