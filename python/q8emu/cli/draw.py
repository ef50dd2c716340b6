# SPDX-License-Identifier: Apache-2.0
"""q8emu draw: the graph of a model with scales and zero points, as SVG, PNG or DOT."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from q8emu.cli.options import Bias, Json, Model, Shape, parse_shapes
from q8emu.cli.output import echo_settings, print_json

Output = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--output",
        help="The picture, .svg, .png or .dot; by default the model's name with .svg in this folder.",
        metavar="FILE",
    ),
]
Style = Annotated[
    str,
    typer.Option(
        "--style", help="annotated: what runs, with its parameters; plain: the ONNX graph as it is.", metavar="STYLE"
    ),
]
Report = Annotated[
    Path | None,
    typer.Option(
        "--overlay", help="Colour the nodes by the differing elements of a verify --json report.", metavar="FILE"
    ),
]


def draw(
    model: Model = None,
    output: Output = None,
    style: Style = "annotated",
    overlay: Report = None,
    shape: Shape = None,
    bias: Bias = "auto",
    json: Json = False,
) -> None:
    """Draw a model: its operators, the scale and zero point on every edge, both branches of every residual Add.

    Pictures are made by Graphviz. Without it the text that it would read is written instead, as FILE.dot, and the exit
    code is 2, because the picture that was asked for is not there. A file that is there is replaced.
    """
    from q8emu import models
    from q8emu.draw import draw as write

    source = model or models.default_model()
    target = output or Path(f"{source.stem}.svg")
    settings = {"model": str(source), "output": str(target), "style": style}
    echo_settings("draw", settings | ({"overlay": str(overlay)} if overlay else {}))
    drawn = write(source, target, style=style, overlay=overlay, bias=bias, shapes=parse_shapes(shape))  # type: ignore[arg-type]
    if json:
        print_json(drawn.to_json())
        return
    print(f"{drawn.output}: {drawn.nodes} nodes, {drawn.style}")
    for add in drawn.adds:
        scales = ", ".join(f"{name} {branch.quant.scale[0]:.6g}" for name, branch in (("a", add.a), ("b", add.b)))
        print(f"  Add '{add.node}': scales {scales}; {add.ratio_name} = {add.ratio:.4g}")
