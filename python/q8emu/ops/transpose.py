# SPDX-License-Identifier: Apache-2.0
"""Transpose: y[i...] = x permuted."""

from __future__ import annotations

from q8emu.graph import Node
from q8emu.lowering import Lowering
from q8emu.ops.base import Attributes, FileView, require


def attributes(node: Node, view: FileView) -> Attributes:
    """perm."""
    rank = len(view.shape(node.inputs[0]))
    perm = tuple(node.attrs.get("perm") or range(rank)[::-1])
    require(sorted(perm) == list(range(rank)), node, f"perm {list(perm)} is not a permutation of {rank} axes.")
    return {"perm": perm}


def lower(node: Node, low: Lowering) -> None:
    """One transpose."""
    x = low.value(node.inputs[0])
    out = low.new(low.buffers[x].dtype, low.graph.tensors[node.outputs[0]].shape)
    low.add("transpose", (x,), (out,), {"perm": node.attrs["perm"]})
    low.moved(node, 0, out)
