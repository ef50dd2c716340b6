# SPDX-License-Identifier: Apache-2.0
"""A map of bit widths as JSON, Markdown or HTML: tables, and a heat map as SVG inside the page."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path

from q8emu.ptq.bit_map import WIDTHS, BitMap

SUFFIXES = (".html", ".json", ".md")
_CELL, _MARGIN = 64, 48  # pixels
_STYLE = (
    "body{font-family:sans-serif;margin:2em}table{border-collapse:collapse}td,th{padding:.2em .8em;text-align:right}"
)
_COLD, _WARM = (178, 34, 52), (46, 139, 87)  # no right answer, all right


def page(found: BitMap, suffix: str) -> str:
    """The text of the file that ends in `suffix`, one of SUFFIXES."""
    if suffix == ".json":
        return json.dumps(found.to_json(), indent=2, ensure_ascii=False) + "\n"
    return _html(found) if suffix == ".html" else _markdown(found)


def percent(found: BitMap, correct: int) -> str:
    """Of the images.

    Example:
        >>> percent(BitMap("m", {}, 20, 200, 0, (), 4, ()), 175)
        '87.50'
    """
    return f"{100 * correct / found.images:.2f}"


def grid_rows(found: BitMap) -> list[list[str]]:
    """One row for each width of the weights: percent at 4 to 8 activation bits."""
    return [[str(w), *(percent(found, found.correct(w, a)) for a in WIDTHS)] for w in WIDTHS]


def layer_rows(found: BitMap) -> list[list[str]]:
    """One row for each layer: percent enabled and disabled, what it loses alone, what is won without it."""
    return [
        [
            cell.layer,
            percent(found, cell.enabled),
            percent(found, found.no_layer - cell.enabled),
            percent(found, cell.disabled),
            percent(found, cell.disabled - found.all_layers),
        ]
        for cell in found.layers
    ]


def grid_heads() -> list[str]:
    """Of `grid_rows`."""
    return ["weights", *(f"{a}-bit act." for a in WIDTHS)]


def layer_heads(found: BitMap) -> list[str]:
    """Of `layer_rows`."""
    width = f"{found.layer_bits}-bit"
    return ["layer", f"{width} alone", "loses", f"all {width} but it", "wins"]


def facts(found: BitMap) -> str:
    """One sentence for people."""
    settings = found.settings
    weights = "per channel" if settings["per_channel"] else "per tensor"
    return (
        f"{Path(found.model).name}: percent of {found.images:,} images right; float32 "
        f"{percent(found, found.float_correct)}; {settings['dtype']}, weights {weights}, calibrated on "
        f"{found.calibrated_on:,} samples, {settings['method']}."
    )


def worst(found: BitMap) -> str:
    """One sentence: the layer that alone loses most."""
    cell = found.worst
    return (
        f"With {found.layer_bits}-bit weights in one layer only, '{cell.layer}' loses most: "
        f"{percent(found, found.no_layer)} becomes {percent(found, cell.enabled)}."
    )


def heat_map(found: BitMap) -> str:
    """The grid as SVG: weight bits downwards, activation bits to the right, colours from 0 to 100 percent."""
    side = _MARGIN + _CELL * len(WIDTHS)
    style = 'font-family="sans-serif" font-size="13" text-anchor="middle" role="img"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {side} {side}" width="{side}" height="{side}" {style}>',
        "<title>right answers by weight bits and activation bits, percent</title>",
    ]
    for at, width in enumerate(WIDTHS):
        middle = _MARGIN + _CELL * at + _CELL // 2
        parts.append(f'<text x="{middle}" y="{_MARGIN - 10}">a{width}</text>')
        parts.append(f'<text x="{_MARGIN // 2}" y="{middle + 5}">w{width}</text>')
    for cell in found.grid:
        x, y = (_MARGIN + _CELL * (width - WIDTHS[0]) for width in (cell.activation_bits, cell.weight_bits))
        share = cell.correct / found.images
        colour = ",".join(str(round(c + (w - c) * share)) for c, w in zip(_COLD, _WARM, strict=True))
        told = f"weights {cell.weight_bits} bits, activations {cell.activation_bits} bits: {cell.correct:,} right"
        parts.append(
            f'<rect x="{x}" y="{y}" width="{_CELL - 2}" height="{_CELL - 2}" fill="rgb({colour})"><title>{told}</title>'
            f'</rect><text x="{x + _CELL // 2}" y="{y + _CELL // 2 + 5}" fill="#fff">'
            f"{percent(found, cell.correct)}</text>"
        )
    return "\n".join([*parts, "</svg>"])


def _markdown(found: BitMap) -> str:
    parts = [f"# Bit widths of {escape(Path(found.model).name)}", escape(facts(found))]
    parts += [_table(grid_heads(), grid_rows(found)), heat_map(found)]
    parts += ["## Layers", escape(worst(found), quote=False), _table(layer_heads(found), layer_rows(found))]
    return "\n\n".join(parts) + "\n"


def _table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(escape(cell).replace('|', '/') for cell in line)} |" for line in lines)


def _html(found: BitMap) -> str:
    name = escape(Path(found.model).name)
    return "\n".join(
        [
            f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Bit widths of {name}</title>',
            f"<style>{_STYLE}</style></head><body><h1>Bit widths of {name}</h1>",
            f"<p>{escape(facts(found))}</p>{heat_map(found)}",
            f"<h2>Layers</h2><p>{escape(worst(found))}</p>{_html_table(layer_heads(found), layer_rows(found))}",
            "</body></html>\n",
        ]
    )


def _html_table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [f"<tr>{''.join(f'<th>{escape(h)}</th>' for h in heads)}</tr>"]
    lines += [f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows]
    return f"<table>{''.join(lines)}</table>"
