# SPDX-License-Identifier: Apache-2.0
"""A canonical Graph under a numerics profile becomes a Program."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from types import MappingProxyType

import numpy as np

from q8emu.delegate import delegated
from q8emu.errors import TooLarge, UnsupportedOperator
from q8emu.graph import Graph, Node
from q8emu.lowering import Lowering
from q8emu.numerics import Numerics, identity
from q8emu.ops import OPS
from q8emu.program import Buffer, Program, Step

MAX_WORK = 10**11
"""Largest number of multiply-accumulates of one program; a network for one image needs far less."""


def lower(graph: Graph, numerics: Numerics, *, no_host: bool = False) -> Program:
    """Turn operators into steps with integer parameters.

    Args:
        graph: what `canonicalize` returned.
        numerics: the arithmetic.
        no_host: refuse operators that stay in float.

    Raises:
        UnsupportedOperator: with no_host, an operator that stays in float; names all of them.
        BadModel: an output of another type than the file declares.
        BadQuantization: a scale that leaves the range of float32 when combined.
        TooLarge: more work than MAX_WORK, or more memory than `memory_limit()`.
    """
    hosted = [n for n in graph.nodes if n.op == "Host"]
    if no_host and hosted:
        names = ", ".join(f"{n.attrs['op_type']} '{n.name}'" for n in hosted)
        raise UnsupportedOperator(
            f"{len(hosted)} operators stay in float: {names}. Quantize them, or allow host steps (drop --no-host)."
        )
    low = Lowering(graph, numerics)
    for name in graph.inputs:
        low.define(name, low.new(graph.tensors[name].dtype, graph.tensors[name].shape))
    with np.errstate(all="ignore"):  # scales that combine to 0 or infinity are refused by name
        for node in graph.nodes:
            low.node, low.numerics = delegated(node, arithmetic(node, numerics))
            OPS[node.op].lower(low.node, low)
    for name in graph.outputs:
        low.port_of(name)
    graph.check_outputs()
    work = sum(_work(step, low.buffers) for step in low.steps)
    if work > MAX_WORK:
        raise TooLarge(f"The network needs {work} multiply-accumulates for one batch; the limit is {MAX_WORK}.")
    return Program(
        identity(numerics),
        tuple(low.buffers),
        MappingProxyType(low.constants),
        tuple(low.steps),
        MappingProxyType(low.ports),
        graph.inputs,
        graph.outputs,
        graph.notes,
    )


def arithmetic(node: Node, numerics: Numerics) -> Numerics:
    """The decisions for one node: the profile's, with its overrides for the operator."""
    return numerics.for_operator(node.op)


def _work(step: Step, buffers: Sequence[Buffer]) -> int:
    """Multiply-accumulates, or values read for steps without products."""
    out = prod(buffers[step.outputs[0]].shape)
    if step.kind in ("conv2d", "depthwise_conv2d"):
        return out * prod(buffers[step.inputs[1]].shape[1:])
    if step.kind == "matmul":
        return out * buffers[step.inputs[0]].shape[-1]
    if step.kind in ("average_pool", "max_pool"):
        kernel = step.params["kernel"]
        assert isinstance(kernel, tuple)
        return out * prod(kernel)
    return out
