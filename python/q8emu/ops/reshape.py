# SPDX-License-Identifier: Apache-2.0
"""Reshape, Flatten, Squeeze, Unsqueeze, Identity: the same values under another shape, known when the model is read."""

from __future__ import annotations

from q8emu.graph import Node
from q8emu.lowering import Lowering
from q8emu.ops.base import Attributes, FileView


def attributes(node: Node, view: FileView) -> Attributes:
    """None."""
    return {}


def lower(node: Node, low: Lowering) -> None:
    """One copy."""
    low.moved(node, 0, low.copied(low.value(node.inputs[0]), low.graph.tensors[node.outputs[0]].shape))
