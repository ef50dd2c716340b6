# SPDX-License-Identifier: Apache-2.0
"""One model under two numerics profiles: what the change costs, per layer and in predictions, before it is built.

Two comparisons run side by side. In the *chain* each arithmetic feeds itself, so differences spread. *Given* the first
arithmetic's tensors, each layer of the second is judged on its own: where it differs, the layer is a cause.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from q8emu.compare import Comparison
from q8emu.emulator import Emulator, Options
from q8emu.errors import BadInput
from q8emu.fingerprint import inputs_sha256, model_sha256, version
from q8emu.graph import INTERNAL
from q8emu.report import tensor_json
from q8emu.result import TensorResult
from q8emu.trace import Trace
from q8emu.verify import default_inputs, open_model

SCHEMA = "q8emu.diff/1"

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Flip:
    """An input whose predicted class changes.

    Attributes:
        sample: which input, from 0.
        before: class under the first arithmetic.
        after: class under the second.
        label: the right class, where labels are known.
    """

    sample: int
    before: int
    after: int
    label: int | None = None


@dataclass(frozen=True)
class Layer:
    """One tensor under both profiles.

    Attributes:
        chain: each arithmetic on its own inputs; "expected" is the first.
        given: the second arithmetic on the first's inputs.
    """

    chain: TensorResult
    given: TensorResult

    @property
    def is_cause(self) -> bool:
        """Does it differ although its inputs do not?"""
        return self.given.differing > 0


@dataclass(frozen=True)
class Difference:
    """What `diff` found.

    Attributes:
        settings: in the order in which they are shown.
        names: of the two profiles.
        samples: number of inputs.
        layers: every quantized tensor in graph order, then the final outputs that are none.
        flips: inputs whose class changes; empty where no output is [N, classes].
        correct: how many inputs each arithmetic gets right; None without labels.
        predicts: the output that the classes were read from, "" where none is [N, classes].
    """

    settings: Mapping[str, str]
    names: tuple[str, str]
    samples: int
    layers: tuple[Layer, ...]
    flips: tuple[Flip, ...] = ()
    correct: tuple[int, int] | None = None
    predicts: str = ""
    notes: tuple[str, ...] = field(default=())

    @property
    def causes(self) -> tuple[Layer, ...]:
        """The layers that differ on the same inputs."""
        return tuple(layer for layer in self.layers if layer.is_cause)

    @property
    def is_same(self) -> bool:
        """Could every tensor be compared, and does no element of any differ?"""
        return not any(layer.chain.differing or layer.chain.failure for layer in self.layers)

    @property
    def exit_code(self) -> int:
        """0 the same bits, 1 differs."""
        return 0 if self.is_same else 1

    def to_json(self) -> dict[str, Any]:
        """Plain values for json.dumps; the schema carries a version."""
        return {
            "schema": SCHEMA,
            "same": self.is_same,
            "exit_code": self.exit_code,
            "settings": dict(self.settings),
            "numerics": list(self.names),
            "samples": self.samples,
            "causes": [layer.chain.name for layer in self.causes],
            "tensors": [
                {
                    "tensor": layer.chain.name,
                    "operator": layer.chain.operator,
                    "dtype": layer.chain.dtype,
                    "shape": list(layer.chain.shape),
                    "chain": tensor_json(layer.chain),
                    "given": tensor_json(layer.given),
                }
                for layer in self.layers
            ],
            "predicts": self.predicts or None,
            "flips": [{"input": f.sample, "before": f.before, "after": f.after, "label": f.label} for f in self.flips],
            "correct": None if self.correct is None else list(self.correct),
            "notes": list(self.notes),
        }


def diff(
    model: Path | str | None = None,
    inputs: Mapping[str, np.ndarray] | None = None,
    *,
    numerics: Sequence[str],
    labels: np.ndarray | None = None,
    kernels: str = "auto",
    threads: int = 0,
    batch: int | None = None,
    no_host: bool = False,
    bias: str = "auto",
    inputs_from: str = "given arrays",
    progress: Progress | None = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
) -> Difference:
    """Run a model under two numerics profiles and count where they differ.

    Args:
        model: path of a model file; without it the packaged ResNet8.
        inputs: arrays by input name; without them the packaged input, or random ones for another model.
        numerics: names of two profiles.
        labels: the right class of each input.
        kernels: "auto", "reference", "spec" or the name of an ISA.
        threads: 0 is one per core.
        batch: inputs per run where the file leaves the batch open.
        no_host: refuse models with float islands?
        bias: "auto", "as-is" or "rescaled".
        inputs_from: how the result names the inputs.
        progress: called with done, total and what.
        shapes: of the inputs by name, for PyTorch files that do not keep the example they were traced with.

    Raises:
        Q8Error: one sentence why the model, the inputs or an option cannot be used.

    Example:
        >>> found = diff(numerics=("ort", "tflite-ref"))
        >>> found.causes[0].chain.operator, found.exit_code
        ('Conv', 1)
    """
    if len(numerics) != 2:
        raise BadInput(f"--numerics: two profiles are compared; found {len(numerics)}.")
    options = Options(numerics[0], kernels, threads, batch, bias, no_host, shapes=shapes or {})
    first = open_model(model, options)
    if inputs is None:
        inputs, inputs_from = default_inputs(first)
    return compare_numerics(first, numerics[1], inputs, labels, inputs_from, progress)


def compare_numerics(
    first: Emulator,
    numerics: str,
    inputs: Mapping[str, np.ndarray],
    labels: np.ndarray | None = None,
    inputs_from: str = "given arrays",
    progress: Progress | None = None,
) -> Difference:
    """Compare an opened model with the same model under another profile; the arguments are those of `diff`."""
    second = Emulator(first.model, replace(first.options, numerics=numerics))
    total = first.count(inputs)
    if labels is not None and len(labels) != total:
        raise BadInput(f"There are {len(labels)} labels for {total} inputs; expected as many.")
    sides = _Sides(first, second)
    for before, after in zip(first.batches(inputs), second.batches(inputs), strict=True):
        if progress is not None:
            progress(sides.samples, total, "comparing")
        if before.samples != after.samples:
            raise BadInput("The two numerics profiles need batches of different sizes; choose one with --batch.")
        expected = before.run()
        sides.add(after.run(), expected, after.run(_inner(expected)), before.samples)
    names = (first.numerics.name, second.numerics.name)
    return Difference(
        {
            "model": str(first.model),
            "model sha256": model_sha256(first.model),
            "inputs": f"{total:,}, {inputs_from}",
            "input sha256": inputs_sha256(inputs),
            "first": f"{names[0]} ({first.numerics.reproduces})",
            "second": f"{names[1]} ({second.numerics.reproduces})",
            "kernels": first.runner.isa,
            "bias": first.options.bias,
            "q8emu": version(),
        },
        names,
        total,
        sides.layers(),
        sides.flips(labels),
        sides.correct(labels),
        sides.predicts,
        tuple(dict.fromkeys((*first.graph.notes, *first.program.notes, *second.program.notes))),
    )


def _inner(trace: Trace) -> Mapping[str, np.ndarray]:
    return {name: array for name, array in trace.tensors.items() if not name.startswith(INTERNAL)}


class _Sides:
    """Both comparisons and the predictions, batch by batch."""

    def __init__(self, first: Emulator, second: Emulator) -> None:
        program = second.program
        taps = [name for name in program.quantized() if name not in program.inputs]
        self._chain = Comparison(program, first.numerics.name, taps)
        self._given = Comparison(program, first.numerics.name, taps)
        self._classes: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
        self.predicts = next((n for n in program.outputs if _is_scores(program.ports[n].tensor.shape)), "")
        self.samples = 0

    def add(self, got: Trace, expected: Trace, given: Trace, samples: int) -> None:
        """One batch."""
        self._chain.update(got, expected, got, samples=samples)
        self._given.update(given, expected, given, samples=samples)
        if self.predicts:
            for classes, trace in zip(self._classes, (expected, got), strict=True):
                classes.append(trace.outputs[self.predicts].argmax(1))
        self.samples += samples

    def layers(self) -> tuple[Layer, ...]:
        """Every tensor, then the outputs that are none of them."""
        chain, given = self._chain.result(), self._given.result()
        known = {row.name for row in chain.tensors}
        pairs = [*zip(chain.tensors, given.tensors, strict=True)]
        pairs += [pair for pair in zip(chain.outputs, given.outputs, strict=True) if pair[0].name not in known]
        return tuple(Layer(*pair) for pair in pairs)

    def flips(self, labels: np.ndarray | None) -> tuple[Flip, ...]:
        """The inputs whose class changes."""
        if not self.predicts:
            return ()
        before, after = (np.concatenate(classes) for classes in self._classes)
        return tuple(
            Flip(int(i), int(before[i]), int(after[i]), None if labels is None else int(labels[i]))
            for i in np.flatnonzero(before != after)
        )

    def correct(self, labels: np.ndarray | None) -> tuple[int, int] | None:
        """Right answers of both."""
        if labels is None or not self.predicts:
            return None
        before, after = (int((np.concatenate(classes) == labels).sum()) for classes in self._classes)
        return before, after


def _is_scores(shape: Sequence[int]) -> bool:
    return len(shape) == 2 and shape[1] > 1
