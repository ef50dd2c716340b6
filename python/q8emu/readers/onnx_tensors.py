# SPDX-License-Identifier: Apache-2.0
"""Tensors of an ONNX file: their types, checked shapes and data, external data included."""

from __future__ import annotations

from math import prod
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from q8emu.errors import BadModel, UnsupportedOperator
from q8emu.readers.shapes import checked_shape


def dtype_name(elem_type: int, where: str) -> str:
    """Numpy name of an ONNX element type."""
    try:
        if elem_type not in (TensorProto.UNDEFINED, TensorProto.STRING):
            return str(np.dtype(helper.tensor_dtype_to_np_dtype(elem_type)))
    except (KeyError, ValueError, TypeError):
        pass
    raise UnsupportedOperator(f"The model's {where} has element type {elem_type}; expected a numeric tensor.")


def read_tensor(tensor: TensorProto, where: str, folder: Path | None) -> np.ndarray:
    """The array that a TensorProto holds, or that it points to beside the model."""
    shape = checked_shape(tensor.dims, where, least=0)
    dtype = dtype_name(tensor.data_type, where)
    if tensor.data_location == TensorProto.EXTERNAL:
        tensor = _with_external_data(tensor, where, folder, prod(shape) * np.dtype(dtype).itemsize)
    if tensor.int32_data and dtype in ("int8", "uint8"):  # kept as int32 in the file, which can hold more
        limits = np.iinfo(dtype)
        outside = next((v for v in tensor.int32_data if not limits.min <= v <= limits.max), None)
        if outside is not None:
            raise BadModel(f"The model's {where} holds {outside}; expected {dtype} values.")
    try:
        return np.array(numpy_helper.to_array(tensor), order="C").reshape(shape)
    except Exception as error:  # whatever the decoder meets in damaged data
        raise BadModel(f"The model's {where} holds data that do not fit shape {list(shape)} of {dtype}.") from error


def _with_external_data(tensor: TensorProto, where: str, folder: Path | None, size: int) -> TensorProto:
    """A copy of the message with the external bytes inside; the file must lie in the model's folder."""
    entries = {e.key: e.value for e in tensor.external_data}
    location = entries.get("location", "")
    if folder is None:
        raise BadModel(f"The model's {where} has external data; give the model as a path, not as bytes.")
    parts = PurePosixPath(location).parts
    outside = not parts or ".." in parts or PurePosixPath(location).is_absolute() or PureWindowsPath(location).drive
    path = folder / location
    if outside or "\\" in location or "\0" in location or not path.resolve().is_relative_to(folder.resolve()):
        raise BadModel(f"The model's {where} points to external data '{location}' outside the model's folder; refused.")
    if not path.is_file():
        raise BadModel(f"The model's {where} has its data in '{location}', which is not beside the model.")
    try:
        offset, length = int(entries.get("offset", 0)), int(entries.get("length", size))
    except ValueError as error:
        raise BadModel(f"The model's {where} has an external offset or length that is not a number.") from error
    if offset < 0 or length != size or offset + length > path.stat().st_size:
        raise BadModel(
            f"The model's {where} wants {length} bytes at {offset} of '{location}' ({path.stat().st_size} bytes) "
            f"for {size} bytes of data; expected these to fit."
        )
    with path.open("rb") as file:
        file.seek(offset)
        data = file.read(length)
    inline = TensorProto(dims=tensor.dims, data_type=tensor.data_type, name=tensor.name)
    inline.raw_data = data
    return inline
