# SPDX-License-Identifier: Apache-2.0
"""Transpose: y[i...] = x permuted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from q8emu.graph import Node
from q8emu.ops.base import Attributes, require

if TYPE_CHECKING:
    from q8emu.canonical.builder import Builder
    from q8emu.lower import Lowering


def attributes(node: Node, builder: Builder) -> Attributes:
    """perm."""
    rank = len(builder.shape(node.inputs[0]))
    perm = tuple(node.attrs.get("perm") or range(rank)[::-1])
    require(sorted(perm) == list(range(rank)), node, f"perm {list(perm)} is not a permutation of {rank} axes.")
    return {"perm": perm}


def lower(node: Node, low: Lowering) -> None:
    """One transpose."""
    x = low.value(node.inputs[0])
    out = low.new(low.buffers[x].dtype, low.graph.tensors[node.outputs[0]].shape)
    low.add("transpose", (x,), (out,), {"perm": node.attrs["perm"]})
    low.moved(node, 0, out)
