# SPDX-License-Identifier: Apache-2.0
"""What an oracle is: another runtime that runs the same model file and records the same tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from q8emu.graph import Declared, Graph
from q8emu.trace import Trace


class OracleSession(Protocol):
    """One model opened in one oracle; `run` may be called batch by batch.

    Attributes:
        hidden: tapped tensors that do not exist where the oracle runs, because it computes across them in one piece.
    """

    @property
    def hidden(self) -> tuple[str, ...]:
        """See above; the comparison names them and does not count them as missing."""
        ...

    def run(self, inputs: Mapping[str, np.ndarray]) -> Trace:
        """Run one batch and record the tapped tensors and the final outputs."""
        ...

    def run_plain(self, inputs: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Run one batch as a deployment does, nothing tapped and nothing compared: the final outputs by name."""
        ...


@runtime_checkable
class FileSession(OracleSession, Protocol):
    """A session that runs a model file, quantized or not, as its runtime does. Without taps it runs each batch once."""

    @property
    def inputs(self) -> Mapping[str, Declared]:
        """What the file says of its inputs, by their names in `run`."""
        ...


class Backend(Protocol):
    """One oracle."""

    @property
    def name(self) -> str:
        """How `--against` calls it."""
        ...

    @property
    def describe(self) -> str:
        """What it is, in one line."""
        ...

    @property
    def format(self) -> str:
        """The model files that it runs: "ONNX" or "TFLite"; or "graph", see GraphBackend."""
        ...

    def version(self) -> str:
        """Name and version of the runtime."""
        ...

    def why_unavailable(self) -> str | None:
        """None, or one sentence why it cannot run on this machine."""
        ...

    def open(self, model: Path, taps: Sequence[str], *, threads: int = 1) -> OracleSession:
        """Load a model file and record the tensors named in `taps`.

        Names in `taps` that the file does not know are left out of the trace; the comparison reports them as missing.

        Raises:
            BackendUnavailable: the oracle refuses this model.
        """
        ...


@runtime_checkable
class GraphBackend(Backend, Protocol):
    """An oracle that runs no model file: its graphs come from what q8emu read, by rules of its own world."""

    def open_graph(self, graph: Graph, taps: Sequence[str]) -> OracleSession:
        """Take over a canonical graph; the session cuts its inputs into runs of the graph's batch.

        Raises:
            BackendUnavailable: the oracle has no form for an operator of the graph.
        """
        ...
