# SPDX-License-Identifier: Apache-2.0
"""A comparison of models as one HTML file: nothing is loaded from anywhere, the plot is inside."""

from __future__ import annotations

from pathlib import Path

from q8emu.errors import BackendUnavailable
from q8emu.ptq.compare_markdown import HEADS, LEGEND, about, flags, row, signed
from q8emu.ptq.compare_models import FLAGGED, Comparison
from q8emu.ptq.compare_plot import plot

TEMPLATE = Path(__file__).with_name("compare_models.html")


def html(found: Comparison) -> str:
    """The whole file.

    Raises:
        BackendUnavailable: Jinja is missing.
    """
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError as problem:
        raise BackendUnavailable(
            f"HTML takes Jinja (pip install 'q8emu[workflow]'), which does not import: {problem}. Markdown needs none."
        ) from problem
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    page = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    rows = [[cell.replace("`", "") for cell in row(found, i)] for i in range(len(found.entries))]
    return page.render(
        found=found,
        heads=HEADS,
        rows=rows,
        about=about(found).replace("`", ""),
        legend=LEGEND,
        flags=flags(found).replace("`", ""),
        plot=plot(found),
        signed=signed,
        flagged=FLAGGED,
    )
