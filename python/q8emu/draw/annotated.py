# SPDX-License-Identifier: Apache-2.0
"""The canonical graph as a picture: a box per operator that runs, constants in it, parameters on every edge."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from q8emu.draw.adds import residual_adds
from q8emu.draw.dot import quoted
from q8emu.draw.labels import KINDS, QUIET, A, B, Shapes, edge_label, kind_of, node_label, port_label, title
from q8emu.draw.overlay import Overlay
from q8emu.graph import Graph, QuantParams

FONT = '"Helvetica,Arial,sans-serif"'


class Sources(NamedTuple):
    """What the picture is of."""

    name: str
    format: str
    graph: Graph
    wider: Graph


def annotated(model: Sources, overlay: Overlay | None = None) -> str:
    """The text for Graphviz; equal models give equal text."""
    return "\n".join(_lines(model, overlay)) + "\n"


def _lines(model: Sources, overlay: Overlay | None) -> Iterator[str]:
    graph, shapes = model.graph, Shapes(model.graph, model.wider)
    adds = residual_adds(graph)
    kinds = {node.name: kind_of(node, adds) for node in graph.nodes}
    yield "digraph model {"
    yield f"  graph [rankdir=TB, nodesep=0.4, ranksep=0.35, labelloc=t, fontname={FONT}, fontsize=12, pad=0.3,"
    yield f"         label={title(model.name, _facts(model), _legend(set(kinds.values()), overlay))}]"
    yield f"  node [shape=plain, fontname={FONT}, fontsize=12]"
    yield f"  edge [fontname={FONT}, fontsize=10, color={quoted(QUIET)}, arrowsize=0.7]"
    makers = {}
    for index, name in enumerate(graph.inputs):
        makers[name] = f"i{index}"
        yield f"  i{index} [label={port_label(name, 'input')}, tooltip={quoted(name)}]"
    for index, node in enumerate(graph.nodes):
        makers |= {name: f"n{index}" for name in node.outputs if name}
        add = adds.get(node.name)
        marks, fill = overlay.of(node.outputs) if overlay else ((), "")
        label = node_label(node, kinds[node.name], graph, shapes, add, marks, fill)
        yield f"  n{index} [label={label}, tooltip={quoted(node.name)}]"
    for index, node in enumerate(graph.nodes):
        for at, name in enumerate(node.inputs):
            if name and name not in graph.constants:
                quant = (node.in_quant[at] if at < len(node.in_quant) else None) or graph.tensors[name].quant
                branch = (A, B)[at] if node.name in adds else ""
                yield _edge(makers[name], f"n{index}", name, quant, graph, shapes, branch)
    for index, name in enumerate(graph.outputs):
        yield f"  o{index} [label={port_label(name, 'output')}, tooltip={quoted(name)}]"
        if name in makers:
            yield _edge(makers[name], f"o{index}", name, graph.tensors[name].quant, graph, shapes, "")
    yield "}"


def _edge(start: str, end: str, name: str, quant: QuantParams | None, graph: Graph, shapes: Shapes, branch: str) -> str:
    style = f", color={quoted(branch)}, penwidth=2.5, fontcolor={quoted(branch)}" if branch else ""
    if quant is None and graph.tensors[name].dtype.startswith("float"):
        style += f", style=dashed, color={quoted(KINDS['host'][1])}"
    return f"  {start} -> {end} [label={edge_label(name, quant, graph, shapes)}{style}]"


def _facts(model: Sources) -> list[str]:
    nodes = model.graph.nodes
    host = sum(node.op == "Host" for node in nodes)
    constants = "constants stand in their nodes, a quantize-dequantize pair is an edge"
    layout = f", {model.graph.layout}" if any(len(i.shape) == 4 for i in model.graph.tensors.values()) else ""
    return [f"{model.format}{layout}: {len(nodes)} nodes, {len(nodes) - host} integer, {host} in float; {constants}"]


def _legend(kinds: set[str], overlay: Overlay | None) -> list[tuple[str, str, str]]:
    if overlay is not None:
        return overlay.legend
    return [KINDS[kind] for kind in KINDS if kind in kinds or kind == "port"]
