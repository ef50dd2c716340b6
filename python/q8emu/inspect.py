# SPDX-License-Identifier: Apache-2.0
"""What a model consists of: its nodes, their quantization parameters, what each lowers to, what stays in float.

Two views: the canonical nodes, which are those that run, and the nodes of the file as the file has them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from q8emu.emulator import Emulator, Options, model_format
from q8emu.errors import UnsupportedOperator
from q8emu.graph import Graph, Node, QuantParams
from q8emu.listing import Listing, list_nodes
from q8emu.profile import find_profile
from q8emu.program import Program

SCHEMA = "q8emu.inspect/1"


@dataclass(frozen=True)
class Operand:
    """One input or output of a node."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    quant: QuantParams | None
    is_constant: bool

    def __str__(self) -> str:
        """As a table shows it."""
        shape = "×".join(map(str, self.shape)) or "scalar"
        described = str(self.quant) if self.quant is not None else self.dtype
        return f"{self.name} [{shape}] {described}"

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        quant = None
        if self.quant is not None:
            quant = {
                "dtype": self.quant.dtype,
                "scale": list(self.quant.scale),
                "zero_point": list(self.quant.zero_point),
                "axis": self.quant.axis,
            }
        return {
            "tensor": self.name,
            "dtype": self.dtype,
            "shape": list(self.shape),
            "constant": self.is_constant,
            "quantization": quant,
        }


@dataclass(frozen=True)
class NodeRow:
    """One node: `steps` are the kinds that it lowers to."""

    operator: str
    name: str
    inputs: tuple[Operand, ...]
    outputs: tuple[Operand, ...]
    steps: tuple[str, ...]
    is_host: bool

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "operator": self.operator,
            "node": self.name,
            "runs": "host" if self.is_host else "integer",
            "steps": list(self.steps),
            "inputs": [operand.to_json() for operand in self.inputs],
            "outputs": [operand.to_json() for operand in self.outputs],
        }


@dataclass(frozen=True)
class Inspection:
    """All nodes of a model in graph order, with counts; `rows` and `digest` are empty for a model that cannot run."""

    model: str
    numerics: str
    digest: str
    inputs: Mapping[str, str]
    rows: tuple[NodeRow, ...]
    notes: tuple[str, ...]
    file: Listing

    @property
    def coverage(self) -> dict[str, int]:
        """Number of nodes that run as integers and on the host."""
        host = sum(row.is_host for row in self.rows)
        return {"integer": len(self.rows) - host, "host": host}

    @property
    def operators(self) -> dict[str, int]:
        """Number of nodes per operator."""
        return dict(sorted(Counter(row.operator for row in self.rows).items()))

    def to_json(self) -> dict[str, Any]:
        """Plain values for json.dumps; the schema carries a version."""
        return {
            "schema": SCHEMA,
            "model": self.model,
            "numerics": self.numerics,
            "program_sha256": self.digest or None,
            "inputs": dict(self.inputs),
            "coverage": self.coverage,
            "operators": self.operators,
            "notes": list(self.notes),
            "nodes": [row.to_json() for row in self.rows],
            "file": self.file.to_json(),
        }


def inspect(emulator: Emulator) -> Inspection:
    """Look at a model that was opened for emulation."""
    graph, program = emulator.graph, emulator.program
    return Inspection(
        str(emulator.model),
        emulator.numerics.name,
        program.digest,
        {spec.name: str(spec) for spec in emulator.specs},
        rows(graph, program),
        tuple(dict.fromkeys((*graph.notes, *program.notes))),
        list_nodes(emulator.model, emulator.format, emulator.options.shapes),
    )


def inspect_file(model: Path, options: Options, *, only_file: bool = False) -> Inspection:
    """Look at a model file, also at one that is not quantized, of which there is only the file's own view.

    Args:
        model: its path.
        options: how it would be emulated.
        only_file: give that view of every other model too that q8emu does not emulate, with the reason in the notes?

    Raises:
        Q8Error: the model cannot be read or, unless it is a float one, emulated.
    """
    try:
        return inspect(Emulator(model, options))
    except UnsupportedOperator as problem:
        if options.no_host:
            raise
        found = list_nodes(model, model_format(model), options.shapes)
        if not found.is_float and not only_file:
            raise
        sees = "a float model" if found.is_float else "a model that q8emu does not emulate"
        note = f"This is {sees}; its nodes are those of the file. {problem}"
        return Inspection(str(model), find_profile(options.numerics).name, "", {}, (), (note,), found)


def rows(graph: Graph, program: Program) -> tuple[NodeRow, ...]:
    """One row per canonical node."""
    kinds: dict[str, list[str]] = {}
    for step in program.steps:
        kinds.setdefault(step.node, []).append(step.kind)
    return tuple(_row(node, graph, tuple(dict.fromkeys(kinds.get(node.name, ())))) for node in graph.nodes)


def _row(node: Node, graph: Graph, steps: tuple[str, ...]) -> NodeRow:
    is_host = node.op == "Host"
    operator = str(node.attrs.get("op_type", node.op)) if is_host else node.op
    ins, outs = _operands(node.inputs, node.in_quant, graph), _operands(node.outputs, node.out_quant, graph)
    return NodeRow(operator, node.name, ins, outs, steps, is_host)


def _operands(names: Iterable[str], params: tuple[QuantParams | None, ...], graph: Graph) -> tuple[Operand, ...]:
    found = []
    for at, name in enumerate(names):
        if not name:
            continue
        info = graph.tensors[name]
        quant = (params[at] if at < len(params) else None) or info.quant
        found.append(Operand(name, info.dtype, info.shape, quant, name in graph.constants))
    return tuple(found)
