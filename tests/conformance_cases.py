# SPDX-License-Identifier: Apache-2.0
"""Many random single operators in one model, and how often the emulator and an oracle differ on it.

Opening a session costs more than running a small operator; side by side in one model they share it. Where the oracle
refuses the model, or looking at one operator disturbs it, the model is cut in halves until the operator stands alone.
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
APART = False
"""Run each model in a child process? ONNX Runtime 1.31 crashes on some pairs of convolutions that it runs alone."""


@dataclass(frozen=True)
class Count:
    """What a comparison counted.

    Attributes:
        units: cases, or requantizations.
        values: compared, where exactness is promised.
        differing: of these.
        excused: values for which the oracle promises nothing, because it sums them in float, or inherits such sums.
        excused_differing: of these.
        refused: cases that the profile refuses, or that the oracle does not run, or not undisturbed.
        first: the first difference that is not excused, in words.
    """

    units: int = 0
    values: int = 0
    differing: int = 0
    excused: int = 0
    excused_differing: int = 0
    refused: int = 0
    first: str = ""

    def __add__(self, other: Count) -> Count:
        return Count(
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


def judged(model: bytes, feeds: Feeds, profile: str, oracle: str, units: int) -> Count | None:
    """Run the emulator and the oracle; None where the profile refuses the model, or the oracle gives no verdict."""
    if APART:
        return apart(partial(_judged, model, feeds, profile, oracle, units))
    return _judged(model, feeds, profile, oracle, units)


def _judged(model: bytes, feeds: Feeds, profile: str, oracle: str, units: int) -> Count | None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        path.write_bytes(model)
        try:
            emulator = Emulator(path, Options(profile, threads=1))
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
        units,
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
    found = judged(model, feeds, profile, oracle, bulk.requantizations)
    assert found is not None, f"{oracle} gives no verdict on {operator}"
    return found


# Random single operators


def tflite_cases(profile: str, oracle: str, operator: str, rng: Rng, wanted: int) -> Count:
    """So many random TFLite operators in one file."""
    drawn = []
    for _ in range(wanted):
        one = Draw(rng)
        CASES[operator](one)
        drawn.append(one)
    return _tflite(drawn, profile, oracle)


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
        return found or Count(refused=1)
    half = len(drawn) // 2
    return _tflite(drawn[:half], profile, oracle) + _tflite(drawn[half:], profile, oracle)


def _moved(indices: Sequence[int], base: int) -> list[int]:
    return [i + base if i >= 0 else i for i in indices]


def onnx_cases(profile: str, oracle: str, operator: str, spellings: Sequence[str], rng: Rng, wanted: int) -> Count:
    """So many random ONNX operators in one model."""
    opset = int(rng.choice(OPSETS))
    seeds = rng.integers(0, 2**32, wanted)
    cases = [
        strategies.model(int(s), operators=(operator,), most=1, opsets=(opset,), spellings=spellings) for s in seeds
    ]
    parts = [(_prefixed(onnx.ModelProto.FromString(c.model), f"{i}/"), c.feeds, f"{i}/") for i, c in enumerate(cases)]
    return _onnx([(model, {p + n: a for n, a in feeds.items()}) for model, feeds, p in parts], profile, oracle)


def _onnx(parts: Sequence[tuple[onnx.ModelProto, Feeds]], profile: str, oracle: str) -> Count:
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
        return found or Count(refused=1)
    half = len(parts) // 2
    return _onnx(parts[:half], profile, oracle) + _onnx(parts[half:], profile, oracle)


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
