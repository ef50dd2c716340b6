# SPDX-License-Identifier: Apache-2.0
"""A model as a picture: SVG, PNG, or the text that Graphviz makes them of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from q8emu.draw import dot
from q8emu.draw.adds import ResidualAdd, residual_adds
from q8emu.draw.annotated import Sources, annotated
from q8emu.draw.overlay import read_overlay
from q8emu.draw.plain import plain
from q8emu.emulator import Emulator, Options, model_format
from q8emu.errors import BadInput
from q8emu.export.onnx import to_onnx
from q8emu.readers.onnx import parse_onnx

SCHEMA = "q8emu.draw/1"
Style = Literal["annotated", "plain"]
STYLES: tuple[Style, ...] = ("annotated", "plain")


@dataclass(frozen=True)
class Drawing:
    """What was drawn: `nodes` boxes of operators, and the Adds of two branches with the scales of both."""

    model: str
    output: str
    style: str
    nodes: int
    adds: tuple[ResidualAdd, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values for json.dumps; the schema carries a version."""
        return {
            "schema": SCHEMA,
            "model": self.model,
            "output": self.output,
            "style": self.style,
            "nodes": self.nodes,
            "residual_adds": [add.to_json() for add in self.adds],
        }


def draw(
    model: Path | str | None,
    output: Path | str,
    *,
    style: Style = "annotated",
    overlay: Path | str | None = None,
    bias: str = "auto",
    shapes: Mapping[str, Sequence[int]] | None = None,
) -> Drawing:
    """Draw the graph of a model; equal models give equal bytes.

    "annotated": a box per operator that runs, with its weights' dtype and shape; dtype, shape, scale and zero point on
    every edge; operators that stay in float in another colour; Adds of two branches with the scales of both and their
    ratio r = max(a_scale, b_scale) / min(a_scale, b_scale) >= 1. "plain": every node and tensor of the ONNX graph; a
    TFLite or PyTorch model is drawn as `convert` writes it.

    Args:
        model: path of an .onnx, .tflite or TorchScript file; None is the packaged ResNet8.
        output: a name that ends in .svg, .png or .dot; a file that is there is replaced.
        style: "annotated" or "plain".
        overlay: a report of `q8emu verify --json` on the same model, whose counts colour the nodes (annotated only).
        bias: as for `load`.
        shapes: as for `load`.

    Raises:
        DrawingFailed: Graphviz or pydot is missing, or Graphviz fails; the text for it is then in OUTPUT.dot.
        Q8Error: the model cannot be read, or the output cannot be written.

    Example:
        >>> import tempfile
        >>> drawing = draw(None, Path(tempfile.mkdtemp()) / "resnet8.dot")
        >>> [f"{add.node} {add.ratio_name} {add.ratio:.2f}" for add in drawing.adds]
        ['stack1_add b/a 3.28', 'stack2_add b/a 3.52', 'stack3_add b/a 6.09']
    """
    target = Path(output)
    if style not in STYLES:
        raise BadInput(f"--style is '{style}'; expected {' or '.join(STYLES)}.")
    if overlay is not None and style != "annotated":
        raise BadInput("--overlay colours the annotated picture; leave --style plain out.")
    dot.check_output(target)
    counts = read_overlay(Path(overlay)) if overlay is not None else None
    path = _model(model)
    if style == "plain" and model_format(path) == "ONNX":
        proto, _ = parse_onnx(path)
        dot.write(plain(proto), target)
        return Drawing(str(path), str(target), style, len(proto.graph.node), ())
    emulator = Emulator(path, Options(bias=bias, shapes=shapes or {}))
    graph = emulator.graph
    if counts is not None:
        counts.check(graph.tensors)
    adds = tuple(residual_adds(graph).values())
    if style == "plain":
        proto = to_onnx(graph, wider=emulator.wider)
        dot.write(plain(proto), target)
        return Drawing(str(path), str(target), style, len(proto.graph.node), adds)
    dot.write(annotated(Sources(path.name, emulator.format, graph, emulator.wider), counts), target)
    return Drawing(str(path), str(target), style, len(graph.nodes), adds)


def _model(model: Path | str | None) -> Path:
    if model is not None:
        return Path(model)
    from q8emu import models

    return models.default_model()
