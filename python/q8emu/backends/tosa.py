# SPDX-License-Identifier: Apache-2.0
"""Arm's reference model of TOSA, one oracle per rounding mode of RESCALE.

TOSA graphs come out of a compiler. Here they come from the canonical Graph of the model, by the rules with which MLIR
lowers quantized TFLite operators (`tosa_graph`); the reference model does all the arithmetic. What is float at the
boundary is not TOSA's: QuantizeLinear in front and DequantizeLinear behind are computed as ONNX defines them.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from q8emu.backends.cpu import this_cpu
from q8emu.backends.tosa_graph import build
from q8emu.errors import BackendUnavailable
from q8emu.graph import Graph
from q8emu.numerics import spec
from q8emu.trace import Trace


@dataclass(frozen=True)
class TosaModel:
    """One rounding mode.

    Attributes:
        name: how `--against` calls it.
        describe: what it is, in one line.
        rounding: of RESCALE.
    """

    name: str
    describe: str
    rounding: str
    format: str = "graph"

    def version(self) -> str:
        """Name and version of the runtime."""
        from importlib import metadata

        return f"tosa-tools {metadata.version('tosa-tools')}"

    def why_unavailable(self) -> str | None:
        """None, or one sentence why it cannot run on this machine."""
        try:
            import tosa_reference_model  # noqa: F401
            import tosa_serializer  # noqa: F401
        except ImportError as problem:
            needs = f"oracle '{self.name}' needs tosa-tools (pip install --no-deps tosa-tools)"
            return f"{needs}, which does not import: {problem}"
        return None

    def open(self, model: Path, taps: Sequence[str], *, threads: int = 1) -> TosaSession:
        """Never: it runs no file.

        Raises:
            BackendUnavailable: always.
        """
        raise BackendUnavailable(f"oracle '{self.name}' runs graphs as q8emu reads them, not files")

    def open_graph(self, graph: Graph, taps: Sequence[str]) -> TosaSession:
        """Lower a canonical graph to TOSA.

        Raises:
            BackendUnavailable: tosa-tools is missing, or an operator has no form in TOSA's integer profile.
        """
        problem = self.why_unavailable()
        if problem is not None:
            raise BackendUnavailable(problem)
        return TosaSession(self, graph, taps)


class TosaSession:
    """One graph in the reference model."""

    hidden: tuple[str, ...] = ()

    def __init__(self, oracle: TosaModel, graph: Graph, taps: Sequence[str]) -> None:
        """Build the TOSA graph."""
        self._oracle, self._graph, self._taps = oracle, graph, tuple(taps)
        self._sinks = {n.outputs[0]: n for n in graph.nodes if n.op == "DequantizeLinear"}
        wanted = [self._sinks[n].inputs[0] if n in self._sinks else n for n in graph.outputs]
        self._file, self._inputs, self._shown = build(graph, oracle.rounding, list(dict.fromkeys([*taps, *wanted])))
        self._sources = {n.outputs[0]: n for n in graph.nodes if n.op == "QuantizeLinear"}
        self._provenance = {
            "version": oracle.version(),
            "options": f"RESCALE {oracle.rounding}, numpy {np.__version__}",
            "threads": "1",
            "cpu": this_cpu().describe(),
            "platform": platform.platform(),
        }

    def run(self, inputs: Mapping[str, np.ndarray]) -> Trace:
        """Run the inputs in parts of the graph's own batch."""
        sizes = {name: self._graph.tensors[name].shape for name in self._graph.inputs}
        runs = max((len(array) // sizes[name][0] for name, array in inputs.items() if sizes[name]), default=1)
        parts = [self._run({name: _part(array, sizes[name], i) for name, array in inputs.items()}) for i in range(runs)]
        values = {n: np.concatenate([p[n] for p in parts]) if runs > 1 else parts[0][n] for n in parts[0]}
        return Trace(
            source=self._oracle.name,
            tensors={name: values[name] for name in self._taps if name in values},
            outputs={name: values[name] for name in self._graph.outputs},
            provenance=self._provenance,
        )

    def run_plain(self, inputs: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Run the inputs for the final outputs; the taps are part of the graph and cost nothing that a run does not."""
        return self.run(inputs).outputs

    def _run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        import tosa_reference_model

        values = {name: self._begin(name, inputs) for name in self._inputs}
        feeds = [np.ascontiguousarray(values[name]) for name in self._inputs]
        found, status = tosa_reference_model.run(self._file, feeds)
        if status != tosa_reference_model.GraphStatus.TOSA_VALID:
            raise BackendUnavailable(
                f"oracle '{self._oracle.name}' calls the result {status.name}: TOSA promises nothing where a value "
                "leaves the range of its operator, such as 2^(shift - 1) of RESCALE"
            )
        for name, array in zip(self._shown, found, strict=True):
            info = self._graph.tensors[name]
            values[name] = array.view(info.dtype).reshape(info.shape)
        for name in self._graph.outputs:
            node = self._sinks.get(name)
            if node is not None:
                params = node.in_quant[0]
                assert params is not None
                values[name] = spec.dequantize(values[node.inputs[0]], params.scales(), params.zero_points())
        return values

    def _begin(self, name: str, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """An input of the TOSA graph: one of the model, or one quantized."""
        node = self._sources.get(name)
        if node is None:
            return inputs[name]
        params = node.out_quant[0]
        assert params is not None
        return spec.quantize(inputs[node.inputs[0]], params.scales(), params.zero_points(), params.dtype)


def _part(array: np.ndarray, shape: tuple[int, ...], index: int) -> np.ndarray:
    """The inputs of one run; an input without axes, or of one run only, is there for all."""
    return array[index * shape[0] : (index + 1) * shape[0]] if shape and len(array) > shape[0] else array


TOSA_DOUBLE = TosaModel("tosa-double", "Arm's TOSA reference model, RESCALE with double rounding", "DOUBLE_ROUND")
TOSA_INEXACT = TosaModel("tosa-inexact", "Arm's TOSA reference model, RESCALE with inexact rounding", "INEXACT_ROUND")
TOSA_SINGLE = TosaModel("tosa-single", "Arm's TOSA reference model, RESCALE with single rounding", "SINGLE_ROUND")
