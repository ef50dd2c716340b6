# SPDX-License-Identifier: Apache-2.0
"""TFLite Micro on the CPU, through the Python interpreter of the package tflite-micro.

Every session is two interpreters: the plain one, whose final outputs count, and one that keeps its inner tensors. Each
run checks that the final bits of both are the same. TFLite Micro does not verify a file before it follows its offsets;
the file is parsed here first.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from q8emu.backends.cpu import this_cpu
from q8emu.backends.interpreters import first_difference, first_line, unique_names
from q8emu.errors import BackendUnavailable
from q8emu.graph import Declared
from q8emu.trace import Trace

PACKAGE = "tflite-micro"
ARENA = 1 << 20  # bytes beside what the tensors need: operators, scales of channels, scratch
LARGEST_ELEMENT = 8


class TFLM:
    """TFLite Micro with its reference kernels, as the package builds it."""

    name = "tflm"
    describe = "TFLite Micro, reference kernels"
    format = "TFLite"

    def version(self) -> str:
        """Name and version of the runtime."""
        from importlib import metadata

        return f"{PACKAGE} {metadata.version(PACKAGE)}"

    def why_unavailable(self) -> str | None:
        """None, or one sentence why it cannot run on this machine."""
        try:
            import tflite_micro  # noqa: F401
        except ImportError as problem:
            return f"oracle 'tflm' needs TFLite Micro (pip install 'q8emu[tflm]'), which does not import: {problem}"
        return None

    def open(self, model: Path, taps: Sequence[str], *, threads: int = 1) -> TFLMSession:
        """Open both interpreters; TFLite Micro has one thread, whatever is asked for.

        Raises:
            BackendUnavailable: TFLite Micro is missing, or it refuses this model.
        """
        problem = self.why_unavailable()
        if problem is not None:
            raise BackendUnavailable(problem)
        try:
            return TFLMSession(self, Path(model).read_bytes(), taps)
        except (OSError, RuntimeError, ValueError) as refusal:  # what TFLite Micro raises
            raise BackendUnavailable(
                f"oracle 'tflm': {self.version()} refuses the model: {first_line(refusal)}"
            ) from refusal


class TFLMSession:
    """One model opened in TFLite Micro, plain and with its inner tensors kept."""

    hidden: tuple[str, ...] = ()

    def __init__(self, oracle: TFLM, content: bytes, taps: Sequence[str]) -> None:
        """Open both interpreters and find the taps by name."""
        graph = _main_subgraph(content)
        names = unique_names({i: (t.name or b"").decode("utf-8", "replace") for i, t in enumerate(graph.tensors)})
        index = {name: i for i, name in names.items()}
        arena = ARENA + 2 * len(content) + sum(_bytes(tensor) for tensor in graph.tensors)
        self._inputs = [names[i] for i in graph.inputs]
        self._outputs = [names[i] for i in graph.outputs]
        self._taps = {name: index[name] for name in taps if name in index}
        self._shapes = {name: _shape(graph.tensors[i]) for name, i in index.items()}
        self._plain = _interpreter(content, arena, keep=False)
        self._tapped = _interpreter(content, arena, keep=True) if self._taps else self._plain
        details = [self._plain.get_input_details(i) for i in range(len(self._inputs))]
        self.inputs: dict[str, Declared] = {
            name: (np.dtype(d["dtype"]).name, self._shapes[name]) for name, d in zip(self._inputs, details, strict=True)
        }
        self._provenance = {
            "version": oracle.version(),
            "options": f"reference kernels, numpy {np.__version__}",
            "threads": "1",
            "cpu": this_cpu().describe(),
            "platform": platform.platform(),
        }

    def run(self, inputs: Mapping[str, np.ndarray]) -> Trace:
        """Run one batch, of the size that the file fixes, through both and compare their final outputs bit for bit."""
        plain = self.run_plain(inputs)
        try:
            seen = self._invoke(self._tapped, inputs) if self._taps else plain
            tensors = {n: self._shaped(n, self._tapped.GetTensor(i, 0)["tensor_data"]) for n, i in self._taps.items()}
        except (RuntimeError, ValueError) as refusal:  # what TFLite Micro raises
            raise BackendUnavailable(f"oracle 'tflm' fails to run: {first_line(refusal)}") from refusal
        return Trace(
            source="tflm",
            tensors=tensors,
            outputs=plain,
            provenance=self._provenance,
            undisturbed=first_difference(plain, seen),
        )

    def run_plain(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run one batch through the plain interpreter alone."""
        try:
            return self._invoke(self._plain, inputs)
        except (RuntimeError, ValueError) as refusal:  # what TFLite Micro raises
            raise BackendUnavailable(f"oracle 'tflm' fails to run: {first_line(refusal)}") from refusal

    def _invoke(self, interpreter: Any, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        for i, name in enumerate(self._inputs):
            interpreter.set_input(np.ascontiguousarray(inputs[name]), i)
        interpreter.invoke()
        return {name: self._shaped(name, interpreter.get_output(i)) for i, name in enumerate(self._outputs)}

    def _shaped(self, name: str, array: np.ndarray) -> np.ndarray:
        """A copy of the values under the file's shape; the interpreter shows a scalar as one axis."""
        return np.array(array).reshape(self._shapes[name])


def _interpreter(content: bytes, arena: int, *, keep: bool) -> Any:
    from tflite_micro import runtime

    config = runtime.InterpreterConfig.kPreserveAllTensors if keep else runtime.InterpreterConfig.kAllocationRecording
    return runtime.Interpreter.from_bytes(content, arena_size=arena, intrepreter_config=config)


def _main_subgraph(content: bytes) -> Any:
    """The network of the file, parsed by the schema that the package ships.

    Raises:
        ValueError: the file is no TFLite model.
    """
    import struct

    from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

    try:
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0)) if content[4:8] == b"TFL3" else None
    except (struct.error, AttributeError, IndexError, TypeError, ValueError) as problem:
        raise ValueError("the file is no TFLite model") from problem
    if model is None or not model.subgraphs or model.subgraphs[0].tensors is None or not model.operatorCodes:
        raise ValueError("the file is no TFLite model")
    return model.subgraphs[0]


def _shape(tensor: Any) -> tuple[int, ...]:
    return () if tensor.shape is None else tuple(map(int, tensor.shape))


def _bytes(tensor: Any) -> int:
    """At most what the tensor needs, constants included."""
    return prod(_shape(tensor)) * LARGEST_ELEMENT
