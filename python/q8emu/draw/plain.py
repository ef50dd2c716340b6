# SPDX-License-Identifier: Apache-2.0
"""The ONNX graph as it is, one box per node and one per tensor, through pydot: the form of onnx.tools.net_drawer.

onnx has left that tool out of its newer versions. Where it is there it draws; elsewhere the same form is made here.
"""

from __future__ import annotations

import string
from typing import Any

from onnx import GraphProto, ModelProto

from q8emu.draw.dot import cut
from q8emu.errors import DrawingFailed

LONGEST = 48
HARMLESS = frozenset(string.ascii_letters + string.digits + "_./-()[]")
NODE = {"shape": "box", "style": "filled", "color": "#0F9D58", "fontcolor": "#FFFFFF"}
TENSOR = {"shape": "octagon"}


def plain(model: ModelProto) -> str:
    """The text for Graphviz.

    Raises:
        DrawingFailed: pydot is not installed.
    """
    try:
        import pydot
    except ImportError as problem:
        raise DrawingFailed(
            f"--style plain takes pydot (pip install 'q8emu[workflow]'), which does not import: {problem}."
        ) from problem
    graph = _nodes(model.graph)
    try:
        from onnx.tools.net_drawer import GetOpNodeProducer, GetPydotGraph
    except ImportError:
        drawn = _drawn(graph, pydot)
    else:
        drawn = GetPydotGraph(graph, name="model", rankdir="TB", node_producer=GetOpNodeProducer(**NODE))
    return str(drawn.to_string())


class _Names:
    """Names that mean nothing to Graphviz; different ones stay different."""

    def __init__(self) -> None:
        self._given: dict[str, str] = {}
        self._taken: set[str] = set()

    def __call__(self, old: str) -> str:
        if old not in self._given:
            short = harmless(old)
            number = len(self._given)
            while short in self._taken:
                short += f"-{number}"
            self._given[old] = short
            self._taken.add(short)
        return self._given[old]


def harmless(name: str) -> str:
    r"""A name without characters that Graphviz or pydot would read as more than a name.

    Example:
        >>> harmless('a:"b"\n')
        'a__b__'
    """
    return "".join(c if c in HARMLESS else "_" for c in cut(name, LONGEST)) or "_"


def _nodes(graph: GraphProto) -> GraphProto:
    """The nodes alone, renamed; no document string and no attribute is kept."""
    names, tensors = _Names(), _Names()
    clean = GraphProto()
    for node in graph.node:
        made = clean.node.add(op_type=harmless(node.op_type), name=names(node.name) if node.name else "")
        made.input.extend(tensors(n) for n in node.input if n)
        made.output.extend(tensors(n) for n in node.output if n)
    return clean


def _drawn(graph: GraphProto, pydot: Any) -> Any:
    drawn = pydot.Dot("model", rankdir="TB")
    tensors: dict[str, Any] = {}

    def tensor(name: str) -> Any:
        if name not in tensors:
            tensors[name] = pydot.Node(f'"{name}"', label=f'"{name}"', **TENSOR)
            drawn.add_node(tensors[name])
        return tensors[name]

    for index, node in enumerate(graph.node):
        head = f"{node.name}/{node.op_type}" if node.name else node.op_type
        label = "\\n".join([f"{head} (op#{index})", *node.input, *node.output])
        box = pydot.Node(f'"op#{index}"', label=f'"{label}"', **NODE)
        drawn.add_node(box)
        for name in node.input:
            drawn.add_edge(pydot.Edge(tensor(name), box))
        for name in node.output:
            drawn.add_edge(pydot.Edge(box, tensor(name)))
    return drawn
