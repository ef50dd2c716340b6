# SPDX-License-Identifier: Apache-2.0
"""Ways to damage a TFLite file: one field of its tables, or its bytes."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Sequence

import numpy as np

from strategies_mutations import SCALES, SIZES, damaged_bytes
from tflite_cases import CASES, Draw
from tflite_files import CODES, TYPES, File

SIZES32 = tuple(size for size in SIZES if -(2**31) <= size < 2**31)
POINTS = (0, -128, 127, -129, 128, 255, 2**31, -(2**62))

Edit = Callable[[File, random.Random], str]


def bases(seed: int) -> list[tuple[str, File]]:
    """One generated file of each operator, and two operators in a row."""
    found = []
    for index, operator in enumerate(CASES):
        one = Draw(np.random.default_rng([seed, index]))
        CASES[operator](one)
        found.append((f"generated {operator}", one.file))
    return found


def mutate(file: File, r: random.Random) -> tuple[bytes, str]:
    """One damage, or several; how it was done in words."""
    if r.random() < 0.4:
        return damaged_bytes(file.build(), r)
    changed = copy.deepcopy(file)
    told = []
    for _ in range(r.choice((1, 1, 1, 2, 3))):
        edit = r.choice(EDITS)
        try:
            told.append(f"{edit.__name__.strip('_')}: {edit(changed, r)}")
        except (IndexError, ValueError) as nothing:  # no such field
            told.append(f"{edit.__name__.strip('_')}: {type(nothing).__name__}")
    try:
        return changed.build(), "; ".join(told)
    except (OverflowError, TypeError, ValueError) as problem:  # a number that its field cannot hold
        return damaged_bytes(file.build(), r)[0], f"{'; '.join(told)}: {problem}, bytes instead"


def _shape(file: File, r: random.Random) -> str:
    tensor = r.choice(file.tensors)
    shape = [int(n) for n in tensor.shape]
    kind = r.choice(("size", "size", "remove", "append"))
    if kind == "remove":
        del shape[r.randrange(len(shape))]
    elif kind == "append":
        shape.append(r.choice(SIZES32))
    else:
        shape[r.randrange(len(shape))] = r.choice(SIZES32)
    tensor.shape = shape
    return f"{tensor.name} {shape}"


def _dtype(file: File, r: random.Random) -> str:
    tensor = r.choice(file.tensors)
    tensor.dtype = r.choice(list(TYPES))
    return f"{tensor.name} {tensor.dtype}"


def _scale(file: File, r: random.Random) -> str:
    tensor = r.choice([t for t in file.tensors if len(t.scale)])
    scales = [float(s) for s in tensor.scale]
    kind = r.choice(("value", "value", "value", "none", "more"))
    if kind == "value":
        scales[r.randrange(len(scales))] = r.choice(SCALES)
    tensor.scale = [] if kind == "none" else scales * 2 if kind == "more" else scales
    return f"{tensor.name} {kind}"


def _zero_point(file: File, r: random.Random) -> str:
    tensor = r.choice([t for t in file.tensors if len(t.zero_point)])
    points = [int(p) for p in tensor.zero_point]
    points[r.randrange(len(points))] = r.choice(POINTS)
    tensor.zero_point = points
    return f"{tensor.name} {points[:3]}"


def _axis(file: File, r: random.Random) -> str:
    tensor = r.choice(file.tensors)
    tensor.axis = r.choice((-1, 0, 1, 2, 3, 4, 2**31 - 1))
    return f"{tensor.name} {tensor.axis}"


def _data(file: File, r: random.Random) -> str:
    tensor = r.choice([t for t in file.tensors if t.data is not None])
    data = np.asarray(tensor.data).reshape(-1)
    kind = r.choice(("cut", "repeat", "extremes", "none"))
    if kind == "none":
        tensor.data = None
    elif kind == "extremes" and data.dtype.kind == "i":
        info = np.iinfo(data.dtype)
        tensor.data = np.array([r.choice((info.min, info.max, 0, -1)) for _ in range(data.size)], data.dtype)
    else:
        tensor.data = data[: r.randrange(data.size + 1)] if kind == "cut" else np.tile(data, 2)
    return f"{tensor.name} {kind}"


def _operator(file: File, r: random.Random) -> str:
    operator = r.choice(file.operators)
    kind = r.choice(("code", "code", "union", "nonsense"))
    name = r.choice(list(CODES))
    if kind == "nonsense":
        operator.code = r.choice((-1, 32, 127, 200, 2**31 - 1))
    elif kind == "union":
        operator.union = r.randrange(0, 130)
    else:
        operator.code, operator.union = CODES[name]
    return f"{kind} {name}"


def _wiring(file: File, r: random.Random) -> str:
    operator = r.choice(file.operators)
    places = r.choice(("inputs", "inputs", "outputs"))
    indices = _changed([int(i) for i in getattr(operator, places)], len(file.tensors), r)
    setattr(operator, places, indices)
    return f"{places} {indices}"


def _boundary(file: File, r: random.Random) -> str:
    places = r.choice(("inputs", "outputs"))
    indices = _changed(list(getattr(file, places)), len(file.tensors), r)
    setattr(file, places, indices)
    return f"{places} {indices}"


def _changed(indices: Sequence[int], count: int, r: random.Random) -> list[int]:
    changed = list(indices)
    kind = r.choice(("rename", "rename", "remove", "append"))
    other = r.choice((*range(count), -1, -2, count, 2**31 - 1))
    if kind == "append":
        changed.append(other)
    elif kind == "remove":
        del changed[r.randrange(len(changed))]
    else:
        changed[r.randrange(len(changed))] = other
    return changed


def _option(file: File, r: random.Random) -> str:
    operator = r.choice([op for op in file.operators if op.options])
    field = r.choice(list(operator.options))
    kind, _ = operator.options[field]
    values: dict[str, Sequence[float]] = {"Int32": SIZES32, "Int8": (-128, -1, 0, 1, 2, 3, 4, 5, 9, 127)}
    value = r.choice(values.get(kind, (0, 1) if kind == "Bool" else SCALES))
    operator.options = {**operator.options, field: (kind, value)}
    return f"field {field} {value}"


def _remove_option(file: File, r: random.Random) -> str:
    operator = r.choice([op for op in file.operators if op.options])
    field = r.choice(list(operator.options))
    operator.options = {key: value for key, value in operator.options.items() if key != field}
    return f"field {field}"


def _repeat(file: File, r: random.Random) -> str:
    file.operators.append(copy.deepcopy(r.choice(file.operators)))
    return "an operator twice"


def _version(file: File, r: random.Random) -> str:
    file.version = r.choice((0, 1, 2, 4, 2**31))
    return f"{file.version}"


def _names(file: File, r: random.Random) -> str:
    tensor = r.choice(file.tensors)
    tensor.name = r.choice(("", "y", "q8:x", r.choice(file.tensors).name))
    return f"'{tensor.name}'"


EDITS: tuple[Edit, ...] = (
    _axis,
    _boundary,
    _data,
    _data,
    _dtype,
    _names,
    _operator,
    _operator,
    _option,
    _option,
    _option,
    _remove_option,
    _repeat,
    _scale,
    _scale,
    _shape,
    _shape,
    _shape,
    _version,
    _wiring,
    _wiring,
    _zero_point,
)
