# SPDX-License-Identifier: Apache-2.0
"""Many random single operators in one model, and how often the emulator and an oracle differ on it.

Opening a session costs more than running a small operator; side by side in one model they share it, and each operator
is run on several random sets of inputs. A case is one operator on one set. Where the oracle refuses the model, or
looking at one operator disturbs it, the model is cut in halves until the operator stands alone.
"""

from __future__ import annotations

import os
import pickle
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import onnx
from onnx import helper

import strategies
from conformance_bulk import BULKS, VALUES, crafted
from q8emu.emulator import Emulator, Options
from q8emu.errors import UnsupportedOperator
from q8emu.result import NO_VERDICT
from q8emu.verify import compare
from tflite_cases import CASES, Draw
from tflite_files import File

Rng = np.random.Generator
Feeds = dict[str, np.ndarray]
OPSETS = (13, 15, 17, 19, 21)
SETS = 16
"""Sets of inputs that each random operator is run on; fewer where fewer cases are asked for."""
APART = False
"""Run each model in a child process? ONNX Runtime 1.31 crashes on pairs of convolutions, PyTorch on some modules."""


@dataclass(frozen=True)
class Count:
    """What a comparison counted.

    Attributes:
        operators: random operators, or crafted models.
        units: cases, or requantizations.
        values: compared, where exactness is promised.
        differing: of these.
        excused: values for which the oracle promises nothing, because it sums them in float, or inherits such sums.
        excused_differing: of these.
        refused: cases that the profile refuses, or that the oracle does not run, or not undisturbed.
        first: the first difference that is not excused, in words.
    """

    operators: int = 0
    units: int = 0
    values: int = 0
    differing: int = 0
    excused: int = 0
    excused_differing: int = 0
    refused: int = 0
    first: str = ""

    def __add__(self, other: Count) -> Count:
        return Count(
            self.operators + other.operators,
            self.units + other.units,
            self.values + other.values,
            self.differing + other.differing,
            self.excused + other.excused,
            self.excused_differing + other.excused_differing,
            self.refused + other.refused,
            self.first or other.first,
        )


def apart(function: Callable[[], Count | None]) -> Count | None:
    """Call a function in a forked child; None where the child does not survive it."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        with os.fdopen(writer, "wb") as file:
            file.write(pickle.dumps(function()))
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        content = file.read()
    status = os.waitpid(pid, 0)[1]
    found: Count | None = pickle.loads(content) if status == 0 else None
    return found


def judged(
    model: bytes, feeds: Feeds, profile: str, oracle: str, operators: int, units: int = 1, batch: int | None = None
) -> Count | None:
    """Run the emulator and the oracle; None where the profile refuses the model, or the oracle gives no verdict.

    Args:
        model: the file.
        feeds: its inputs, as many sets as there are.
        profile: of the emulator.
        oracle: what it is compared with.
        operators: in the file.
        units: of each operator in one run.
        batch: length of axis 0 in one run, where the file leaves it open.
    """
    side = partial(_judged, model, feeds, profile, oracle, operators, units, batch)
    return apart(side) if APART else side()


def _judged(
    model: bytes, feeds: Feeds, profile: str, oracle: str, operators: int, units: int, batch: int | None
) -> Count | None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        path.write_bytes(model)
        try:
            emulator = Emulator(path, Options(profile, threads=1, batch=batch))
            runs = emulator.count(feeds) // (batch or emulator.samples_per_run)
            (result,) = compare(emulator, feeds, against=[oracle]).oracles
        except UnsupportedOperator:  # outside what the profile promises
            return None
    if result.verdict == NO_VERDICT:
        return None
    known = {row.name for row in result.tensors}
    rows = [*result.tensors, *(row for row in result.outputs if row.name not in known)]
    promised = [row for row in rows if row.promised and not row.is_inherited]
    excused = [row for row in rows if not row.promised or row.is_inherited]
    wrong = [row for row in promised if row.differing or row.failure]
    return Count(
        operators,
        operators * units * runs,
        sum(row.elements for row in promised),
        sum(row.differing + bool(row.failure) for row in wrong),
        sum(row.elements for row in excused),
        sum(row.differing for row in excused),
        first=f"{wrong[0].name}: {wrong[0].failure or wrong[0].first}" if wrong else "",
    )


# Requantizations in bulk


def requantizations(profile: str, oracle: str, operator: str, dtype: str, rng: Rng, wanted: int) -> Count:
    """One crafted model with about so many requantizations."""
    bulk = crafted(rng, max(wanted // VALUES, 16), dtype)
    model, feeds = BULKS[operator](bulk)
    found = judged(model, feeds, profile, oracle, 1, bulk.requantizations)
    assert found is not None, f"{oracle} gives no verdict on {operator}"
    return found


# Random single operators


def tflite_cases(profile: str, oracle: str, operator: str, rng: Rng, wanted: int) -> Count:
    """So many cases of random TFLite operators, which are all in one file."""
    operators, sets = shared(wanted)
    drawn = []
    for _ in range(operators):
        one = Draw(rng, sets=sets)
        CASES[operator](one)
        drawn.append(one)
    return _tflite(drawn, profile, oracle)


def shared(wanted: int) -> tuple[int, int]:
    """How many operators, and how many sets of inputs for each."""
    sets = min(SETS, wanted)
    return wanted // sets, sets


def _tflite(drawn: Sequence[Draw], profile: str, oracle: str) -> Count:
    file = File()
    feeds: Feeds = {}
    for number, one in enumerate(drawn):
        base = len(file.tensors)
        file.tensors += [replace(t, name=f"{number}/{t.name}") for t in one.file.tensors]
        file.operators += [
            replace(op, inputs=_moved(op.inputs, base), outputs=_moved(op.outputs, base)) for op in one.file.operators
        ]
        file.inputs += _moved(one.file.inputs, base)
        file.outputs += _moved(one.file.outputs, base)
        feeds |= {f"{number}/{name}": array for name, array in one.feeds.items()}
    found = judged(file.build(), feeds, profile, oracle, len(drawn))
    if found is not None or len(drawn) == 1:
        return found or Count(refused=drawn[0].sets)
    half = len(drawn) // 2
    return _tflite(drawn[:half], profile, oracle) + _tflite(drawn[half:], profile, oracle)


def _moved(indices: Sequence[int], base: int) -> list[int]:
    return [i + base if i >= 0 else i for i in indices]


def onnx_cases(profile: str, oracle: str, operator: str, spellings: Sequence[str], rng: Rng, wanted: int) -> Count:
    """So many cases of random ONNX operators, which are all in one model."""
    operators, sets = shared(wanted)
    opset = int(rng.choice(OPSETS))
    seeds = rng.integers(0, 2**32, operators)
    cases = [
        strategies.model(int(s), operators=(operator,), most=1, opsets=(opset,), spellings=spellings) for s in seeds
    ]
    parts = [
        (
            _prefixed(onnx.ModelProto.FromString(c.model), f"{i}/"),
            {f"{i}/{name}": _with_more_sets(rng, array, sets) for name, array in c.feeds.items()},
        )
        for i, c in enumerate(cases)
    ]
    return _onnx(parts, profile, oracle, sets)


def _with_more_sets(rng: Rng, first: np.ndarray, sets: int) -> np.ndarray:
    """The array and others like it, along axis 0; of a scalar there is one for all runs."""
    return first if first.ndim == 0 else np.concatenate([first, *(_another(rng, first) for _ in range(sets - 1))])


def _another(rng: Rng, first: np.ndarray) -> np.ndarray:
    """8-bit data: random, or of the ends; anything else is drawn from the values that are there."""
    if first.dtype.itemsize > 1:
        return rng.choice(first.reshape(-1), first.shape)
    info = np.iinfo(first.dtype)
    if rng.integers(8) == 0:
        return rng.choice(np.array([info.min, info.max], first.dtype), first.shape)
    return rng.integers(info.min, info.max, first.shape, first.dtype, endpoint=True)


def _onnx(parts: Sequence[tuple[onnx.ModelProto, Feeds]], profile: str, oracle: str, sets: int) -> Count:
    whole = helper.make_graph([], "cases", [], [])
    for model, _ in parts:
        whole.node.extend(model.graph.node)
        whole.input.extend(model.graph.input)
        whole.output.extend(model.graph.output)
        whole.initializer.extend(model.graph.initializer)
    opsets = {o.domain: o for model, _ in parts for o in model.opset_import}
    merged = helper.make_model(whole, opset_imports=list(opsets.values()), ir_version=8)
    feeds = {name: array for _, one in parts for name, array in one.items()}
    found = judged(merged.SerializeToString(), feeds, profile, oracle, len(parts))
    if found is not None or len(parts) == 1:
        return found or Count(refused=sets)
    ordered = sorted(parts, key=lambda part: _is_mixed(part[0]))  # what suits the mixed ones may not suit the others
    mixed = sum(_is_mixed(model) for model, _ in parts)
    cut = len(parts) - mixed if 0 < mixed < len(parts) else len(parts) // 2
    return _onnx(ordered[:cut], profile, oracle, sets) + _onnx(ordered[cut:], profile, oracle, sets)


def _is_mixed(model: onnx.ModelProto) -> bool:
    """Has it numbers of uint8 and of int8?"""
    types = {value.type.tensor_type.elem_type for value in model.graph.input}
    types |= {constant.data_type for constant in model.graph.initializer}
    return {onnx.TensorProto.UINT8, onnx.TensorProto.INT8} <= types


def _prefixed(model: onnx.ModelProto, prefix: str) -> onnx.ModelProto:
    """The model with every name behind a prefix."""
    for node in model.graph.node:
        node.name = prefix + node.name if node.name else ""
        node.input[:] = [prefix + name if name else "" for name in node.input]
        node.output[:] = [prefix + name if name else "" for name in node.output]
    for values in (model.graph.input, model.graph.output, model.graph.initializer):
        for value in values:
            value.name = prefix + value.name
    return model
