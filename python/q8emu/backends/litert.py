# SPDX-License-Identifier: Apache-2.0
"""LiteRT (TensorFlow Lite) on the CPU, one oracle per set of kernels, each observed without disturbing it.

Every session is two interpreters: the plain one, whose final outputs count, and one that shows its inner tensors. The
kernels of LiteRT itself store each result as the file says; there, the inner tensors are kept. XNNPACK runs many
operators in one piece; there, a copy of the model in memory has the tapped tensors as outputs. Each run checks that the
final bits of both interpreters are the same.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from q8emu.backends.cpu import this_cpu
from q8emu.backends.interpreters import first_difference, first_line, unique_names
from q8emu.errors import BackendUnavailable
from q8emu.graph import Declared
from q8emu.trace import Trace


@dataclass(frozen=True)
class LiteRT:
    """One choice of kernels.

    Attributes:
        name: how `--against` calls it.
        describe: what it is, in one line.
        resolver: the name of the set of kernels in LiteRT's OpResolverType.
        keeps: can the interpreter keep inner tensors? Else they are shown as outputs of a copy of the model.
    """

    name: str
    describe: str
    resolver: str
    keeps: bool = True
    format: str = "TFLite"

    def version(self) -> str:
        """Name and version of the runtime."""
        from importlib import metadata

        return f"ai-edge-litert {metadata.version('ai-edge-litert')}"

    def why_unavailable(self) -> str | None:
        """None, or one sentence why it cannot run on this machine."""
        try:
            import ai_edge_litert.interpreter  # noqa: F401
        except ImportError as problem:
            return f"oracle '{self.name}' needs LiteRT (pip install 'q8emu[litert]'), which does not import: {problem}"
        return None

    def open(self, model: Path, taps: Sequence[str], *, threads: int = 1) -> LiteRTSession:
        """Open both interpreters.

        Raises:
            BackendUnavailable: LiteRT is missing, or it refuses this model.
        """
        problem = self.why_unavailable()
        if problem is not None:
            raise BackendUnavailable(problem)
        try:
            return LiteRTSession(self, Path(model).read_bytes(), taps, threads)
        except (OSError, RuntimeError, ValueError) as refusal:  # what LiteRT raises
            raise BackendUnavailable(
                f"oracle '{self.name}': {self.version()} refuses the model: {first_line(refusal)}"
            ) from refusal


class LiteRTSession:
    """One model opened in LiteRT, plain and with its inner tensors kept."""

    hidden: tuple[str, ...] = ()

    def __init__(self, oracle: LiteRT, content: bytes, taps: Sequence[str], threads: int) -> None:
        """Open both interpreters and find the taps by name."""
        self._oracle = oracle
        self._plain = self._interpreter(content, threads, keep=False)
        names = unique_names({d["index"]: d["name"] for d in self._plain.get_tensor_details()})
        index = {name: i for i, name in names.items()}
        self._inputs = {names[d["index"]]: d for d in self._plain.get_input_details()}
        self.inputs: dict[str, Declared] = {
            name: (np.dtype(d["dtype"]).name, tuple(map(int, d["shape"]))) for name, d in self._inputs.items()
        }
        self._outputs = {names[d["index"]]: d["index"] for d in self._plain.get_output_details()}
        self._taps = {name: index[name] for name in taps if name in index}
        self._tapped = self._plain
        if self._taps:
            shown = content if oracle.keeps else _with_outputs(content, list((self._outputs | self._taps).values()))
            self._tapped = self._interpreter(shown, threads, keep=oracle.keeps)
        self._provenance = {
            "version": oracle.version(),
            "options": f"OpResolverType.{oracle.resolver}, numpy {np.__version__}",
            "threads": str(threads),
            "cpu": this_cpu().describe(),
            "platform": platform.platform(),
        }

    def run(self, inputs: Mapping[str, np.ndarray]) -> Trace:
        """Run one batch, of the size that the file fixes, through both and compare their final outputs bit for bit."""
        plain = self.run_plain(inputs)
        seen = self._invoke(self._tapped, inputs, self._outputs | self._taps) if self._taps else plain
        return Trace(
            source=self._oracle.name,
            tensors={name: seen[name] for name in self._taps},
            outputs=plain,
            provenance=self._provenance,
            undisturbed=first_difference(plain, seen),
        )

    def run_plain(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run one batch through the plain interpreter alone."""
        return self._invoke(self._plain, inputs, self._outputs)

    def _interpreter(self, content: bytes, threads: int, *, keep: bool) -> Any:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        interpreter = Interpreter(
            model_content=content,
            num_threads=threads,
            experimental_op_resolver_type=OpResolverType[self._oracle.resolver],
            experimental_preserve_all_tensors=keep,
        )
        interpreter.allocate_tensors()
        return interpreter

    def _invoke(
        self, interpreter: Any, inputs: Mapping[str, np.ndarray], wanted: Mapping[str, int]
    ) -> dict[str, np.ndarray]:
        try:
            for name, detail in self._inputs.items():
                interpreter.set_tensor(detail["index"], np.ascontiguousarray(inputs[name]))
            interpreter.invoke()
            return {name: interpreter.get_tensor(index) for name, index in wanted.items()}  # copies
        except (RuntimeError, ValueError) as refusal:  # what LiteRT raises
            raise BackendUnavailable(f"oracle '{self._oracle.name}' fails to run: {first_line(refusal)}") from refusal


def _with_outputs(content: bytes, indices: Sequence[int]) -> bytes:
    """A copy of the model with these tensors as its outputs."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    model.subgraphs[0].outputs = list(indices)
    model.signatureDefs = None  # they name the outputs of the file
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


LITERT = LiteRT("litert", "LiteRT, built-in kernels without XNNPACK", "BUILTIN_WITHOUT_DEFAULT_DELEGATES")
LITERT_REF = LiteRT("litert-ref", "LiteRT, reference kernels", "BUILTIN_REF")
LITERT_XNNPACK = LiteRT("litert-xnnpack", "LiteRT as it comes, with XNNPACK", "AUTO", keeps=False)
