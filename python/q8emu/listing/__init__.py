# SPDX-License-Identifier: Apache-2.0
"""A model file's own nodes, before anything is read into them: what `inspect` shows as the file's view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from q8emu.errors import BadModel
from q8emu.listing.base import FileNode, FileOperand, Listing, Place, Quantization
from q8emu.listing.onnx import list_onnx
from q8emu.listing.tflite import list_tflite
from q8emu.listing.torch import list_torch


def list_nodes(model: Path, form: str, shapes: Mapping[str, Sequence[int]] | None = None) -> Listing:
    """The nodes of a model file in the file's order.

    Args:
        model: the path.
        form: "ONNX", "TFLite" or "PyTorch".
        shapes: of the inputs by name, for PyTorch files.

    Raises:
        Q8Error: the file cannot be read; one sentence says why.
    """
    try:
        if form == "TFLite":
            return Listing(form, list_tflite(model))
        if form == "PyTorch":
            return Listing(form, list_torch(model, shapes or {}))
        return Listing(form, list_onnx(model))
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as problem:
        raise BadModel(
            f"The {form} file '{model.name}' has a node or a parameter that is not of its kind "
            f"({type(problem).__name__}: {problem}); expected a legal model. Export it again."
        ) from problem


__all__ = ["FileNode", "FileOperand", "Listing", "Place", "Quantization", "list_nodes"]
