# SPDX-License-Identifier: Apache-2.0
"""The Adds that join two branches of a network, with the scales of both: what a residual connection costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from q8emu.graph import Graph, Node, QuantParams


@dataclass(frozen=True)
class Branch:
    """One operand of an Add: its tensor, the node that makes it ("" for a model input), its parameters."""

    tensor: str
    node: str
    quant: QuantParams

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        scale, zero_point = self.quant.scale[0], self.quant.zero_point[0]
        return {"tensor": self.tensor, "from": self.node, "scale": scale, "zero_point": zero_point}


@dataclass(frozen=True)
class ResidualAdd:
    """An integer Add of two computed tensors; `output` are the parameters of the sum."""

    node: str
    a: Branch
    b: Branch
    output: QuantParams | None

    @property
    def ratio(self) -> float:
        """The larger of the two scales divided by the smaller, 1 or more."""
        low, high = sorted((self.a.quant.scale[0], self.b.quant.scale[0]))
        return high / low

    @property
    def ratio_name(self) -> str:
        """Which of the two is divided by which."""
        return "b/a" if self.b.quant.scale[0] >= self.a.quant.scale[0] else "a/b"

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        out = self.output
        return {
            "node": self.node,
            "a": self.a.to_json(),
            "b": self.b.to_json(),
            "ratio": self.ratio,
            "ratio_of": self.ratio_name,
            "output": {"scale": out.scale[0], "zero_point": out.zero_point[0]} if out else None,
        }


def residual_adds(graph: Graph) -> dict[str, ResidualAdd]:
    """The Adds of two computed tensors with one scale each, by the name of their node."""
    makers = {name: node.name for node in graph.nodes for name in node.outputs}
    found = {}
    for node in graph.nodes:
        if node.op == "Add" and len(node.inputs) == 2 and not any(n in graph.constants for n in node.inputs):
            branches = [_branch(node, at, graph, makers) for at in range(2)]
            if all(branch is not None for branch in branches):
                a, b = (branch for branch in branches if branch is not None)
                found[node.name] = ResidualAdd(node.name, a, b, node.out_quant[0] if node.out_quant else None)
    return found


def _branch(node: Node, at: int, graph: Graph, makers: dict[str, str]) -> Branch | None:
    name = node.inputs[at]
    quant = (node.in_quant[at] if at < len(node.in_quant) else None) or graph.tensors[name].quant
    if quant is None or not quant.is_per_tensor:
        return None
    return Branch(name, makers.get(name, ""), quant)
