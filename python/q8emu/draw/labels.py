# SPDX-License-Identifier: Apache-2.0
"""What the annotated picture says: labels of nodes, edges and of the whole, as tables that Graphviz lays out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from typing import Any

from q8emu.draw.adds import ResidualAdd
from q8emu.draw.dot import cut, text
from q8emu.graph import Graph, Node, QuantParams
from q8emu.numerics.spec import limits

# What a node is → colour of its head, of its border, and what the legend says.
KINDS = {
    "integer": ("#CFE3F5", "#2B6CB0", "runs as integers"),
    "boundary": ("#D5EFDC", "#2F855A", "float ↔ integer"),
    "host": ("#FFD8A8", "#C05621", "stays in float (host)"),
    "add": ("#FFE066", "#C92A2A", "Add of two branches"),
    "port": ("#E9ECEF", "#868E96", "input, output"),
}
A, B = "#1864AB", "#862E9C"  # the two branches of an Add
QUIET = "#6C757D"
HIDDEN = frozenset({"adaptive", "axes", "bias_scales", "depthwise", "memory", "op_type", "transA"})
UNBOUNDED = (-inf, inf)
ACTIVATIONS = {(0.0, inf): "relu", (0.0, 6.0): "relu6"}
WEIGHTED = frozenset({"Conv", "ConvInteger", "Gemm", "MatMul", "MatMulInteger"})
BOUNDARIES = frozenset({"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"})


class Shapes:
    """Shapes with N for the axes that follow the batch."""

    def __init__(self, graph: Graph, wider: Graph) -> None:
        self._graph, self._wider = graph, wider

    def of(self, name: str) -> str:
        """As a label shows it."""
        own = self._graph.tensors[name].shape
        wide = self._wider.tensors[name].shape if name in self._wider.tensors else own
        same = len(own) == len(wide)
        sizes = ["N" if same and n != wide[i] else str(n) for i, n in enumerate(own)]
        return "×".join(sizes) or "scalar"


def kind_of(node: Node, adds: Mapping[str, ResidualAdd]) -> str:
    """One of KINDS."""
    if node.op == "Host":
        return "host"
    if node.name in adds:
        return "add"
    return "boundary" if node.op in BOUNDARIES else "integer"


def node_label(
    node: Node, kind: str, graph: Graph, shapes: Shapes, add: ResidualAdd | None, marks: Sequence[str], fill: str
) -> str:
    """A table: the operator and the name of the node, attributes, constants, the branches of an Add.

    Args:
        node: canonical.
        kind: of KINDS.
        graph: that it is in.
        shapes: of its tensors.
        add: the branches where it joins two.
        marks: further lines, already escaped.
        fill: colour of the head instead of the kind's.
    """
    head, border, _ = KINDS[kind]
    operator = text(str(node.attrs.get("op_type", node.op)) if node.op == "Host" else node.op)
    lines = [_row(f'<B><FONT POINT-SIZE="14">{operator}</FONT></B>   {text(node.name)}', f' BGCOLOR="{fill or head}"')]
    told = [line for line in (attributes(node, graph), *_constants(node, graph, shapes)) if line]
    lines += [_row(f'<FONT POINT-SIZE="10">{text(line, 96)}</FONT>') for line in told]
    if add is not None:
        lines += _branches(add)
    output = next((name for name in node.outputs if name), "")
    if output and output != node.name and not output.startswith("q8:"):
        lines.append(_row(f'<FONT POINT-SIZE="9" COLOR="{QUIET}">makes {text(output)}</FONT>'))
    lines += [_row(f'<FONT POINT-SIZE="10">{mark}</FONT>') for mark in marks]
    width = 3 if add is not None else 1
    return (
        f'<<TABLE BORDER="{width}" COLOR="{border}" CELLBORDER="0" CELLSPACING="0" CELLPADDING="3" BGCOLOR="white">'
        f"{''.join(lines)}</TABLE>>"
    )


def edge_label(name: str, quant: QuantParams | None, graph: Graph, shapes: Shapes) -> str:
    """Dtype and shape; below them scale and zero point, on one line where they are one each."""
    lines = [f"{quant.dtype if quant else graph.tensors[name].dtype} {shapes.of(name)}"]
    lines += [parameters(quant)] if quant else []
    rows = "".join(f'<TR><TD ALIGN="LEFT">  {text(line, 80)}</TD></TR>' for line in lines)
    return f'<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="1">{rows}</TABLE>>'


def port_label(name: str, role: str) -> str:
    """An input or an output of the model."""
    head, border, _ = KINDS["port"]
    return (
        f'<<TABLE BORDER="1" STYLE="ROUNDED" COLOR="{border}" CELLBORDER="0" CELLPADDING="4" BGCOLOR="{head}">'
        f"{_row(f'{role}   <B>{text(name)}</B>')}</TABLE>>"
    )


def title(name: str, facts: Sequence[str], legend: Sequence[tuple[str, str, str]]) -> str:
    """The model, what is counted of it, and the colours: (fill, border, meaning)."""
    swatches = "".join(
        f'<TD BGCOLOR="{fill}" BORDER="1" COLOR="{border}" WIDTH="18">  </TD><TD ALIGN="LEFT">{text(meaning)}  </TD>'
        for fill, border, meaning in legend
    )
    told = "".join(f"<TR><TD>{text(fact, 120)}</TD></TR>" for fact in facts)
    return (
        '<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="3">'
        f'<TR><TD><B><FONT POINT-SIZE="18">{text(name, 80)}</FONT></B></TD></TR>{told}'
        '<TR><TD><TABLE BORDER="0" CELLBORDER="0" CELLSPACING="4" CELLPADDING="2">'
        f"<TR>{swatches}</TR></TABLE></TD></TR></TABLE>>"
    )


def parameters(quant: QuantParams) -> str:
    """Scale and zero point in one line."""
    if quant.is_per_tensor:
        return f"scale {quant.scale[0]:.6g}, zero_point {quant.zero_point[0]}"
    points = "0" if not any(quant.zero_point) else f"{min(quant.zero_point)}..{max(quant.zero_point)}"
    low, high = min(quant.scale), max(quant.scale)
    return f"{len(quant.scale)} scales {low:.3g}..{high:.3g} on axis {quant.axis}, zero_point {points}"


def attributes(node: Node, graph: Graph) -> str:
    """What distinguishes the node from others of its operator; a clamp only where it cuts the dtype's range."""
    parts = []
    attrs = dict(node.attrs) if node.op != "Host" else {}
    if "kernel" in attrs:
        parts.append("×".join(map(str, attrs.pop("kernel"))))
    for key, value in attrs.items():
        if key in HIDDEN or key in ("activation", "clamp", "clamps") or _is_default(key, value):
            continue
        name = {"strides": "stride", "dilations": "dilation", "group": "groups"}.get(key, key)
        parts.append(f"{name} {_short(value)}")
    if attrs.get("activation", UNBOUNDED) != UNBOUNDED:
        low, high = attrs["activation"]
        parts.append(ACTIVATIONS.get((low, high), f"activation {low:g}..{high:g}"))
    output = next((n for n in node.outputs if n), "")
    dtype = graph.tensors[output].dtype if output else ""
    clamp = attrs.get("clamp", (attrs.get("clamps") or (None,))[0])
    if clamp is not None and dtype in ("int8", "uint8") and tuple(clamp) != limits(dtype):
        parts.append(f"clamp {clamp[0]}..{clamp[1]}")
    return ", ".join(parts)


def _is_default(key: str, value: Any) -> bool:
    if key in ("strides", "dilations"):
        return all(v == 1 for v in value)
    if key == "pads":
        return not any(value)
    return (key, value) in (("group", 1), ("alpha", 1.0), ("transB", 1), ("beta", 1.0))


def _short(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return cut(" ".join(_short(v) for v in value), 40)
    return f"{value:.6g}" if isinstance(value, float) else cut(str(value), 40)


def _constants(node: Node, graph: Graph, shapes: Shapes) -> list[str]:
    """One or two lines per constant operand: role, dtype and shape; scales and zero point where it has some."""
    lines = []
    for at, name in enumerate(node.inputs):
        if name not in graph.constants:
            continue
        role = {1: "weights", 2: "bias"}.get(at, "constant") if node.op in WEIGHTED else "constant"
        info = graph.tensors[name]
        quant = (node.in_quant[at] if at < len(node.in_quant) else None) or info.quant
        lines.append(f"{role} {info.dtype} {'×'.join(map(str, info.shape)) or 'scalar'}")
        lines += [f"    {parameters(quant)}"] if quant else []
    return lines


def _branches(add: ResidualAdd) -> list[str]:
    lines = []
    for name, branch, colour in (("a", add.a, A), ("b", add.b, B)):
        source = cut(branch.node or branch.tensor, 30)
        told = f"{name}: {parameters(branch.quant)}"
        lines.append(_row(f'<FONT COLOR="{colour}"><B>{text(told, 80)}</B>   from {text(source)}</FONT>'))
    ratio = f"scales {add.ratio_name} = {add.ratio:.4g}"
    out = f'   <FONT POINT-SIZE="10">sum: {text(parameters(add.output), 80)}</FONT>' if add.output else ""
    return [*lines, _row(f'<B><FONT COLOR="{KINDS["add"][1]}" POINT-SIZE="13">{text(ratio)}</FONT></B>{out}')]


def _row(content: str, style: str = "") -> str:
    return f'<TR><TD ALIGN="LEFT"{style}>{content}</TD></TR>'
