# SPDX-License-Identifier: Apache-2.0
"""A benchmark as one SVG picture, made by hand: a ratio per peer with its quartiles, a bar per step."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import ceil, floor, log10

from q8emu.bench.result import AtBatch, Benchmark, Layer, Peer

WIDTH, LEFT, RIGHT = 960, 250, 190
ROW, BAR = 26, 15
MOST_LAYERS, LEAST_SHARE = 40, 0.005  # steps that get a bar
INK, PALE, GRID, LINE = "#1f2933", "#5f6c7b", "#dde3ea", "#9aa5b1"
SHADES = {"conv2d": "#0b6e99", "depthwise_conv2d": "#2a9d8f", "matmul": "#7048a8"}
OTHER = "#7b8794"
GOOD, MARKED, BAD = "#0b7a4b", "#b7791f", "#b42318"


class Canvas:
    """Shapes from the top down; `y` is where the next one goes."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.y = 0.0

    def text(self, x: float, y: float, words: str, *, size: int = 13, fill: str = INK, more: str = "") -> None:
        """Words with their baseline at y."""
        shown = escape("".join(c if c.isprintable() else "?" for c in words))
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{fill}"{more}>{shown}</text>')

    def rect(self, x: float, y: float, width: float, height: float, fill: str) -> None:
        """A filled box, at least a hair wide."""
        self.parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 1):.1f}" height="{height:.1f}" rx="2" fill="{fill}"/>'
        )

    def line(self, x1: float, y1: float, x2: float, y2: float, stroke: str, width: float = 1, more: str = "") -> None:
        """A straight line."""
        self.parts.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{stroke}" '
            f'stroke-width="{width}"{more}/>'
        )

    def document(self) -> str:
        """The whole file."""
        height = ceil(self.y + 20)
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
            f'viewBox="0 0 {WIDTH} {height}" font-family="system-ui, \'Helvetica Neue\', Arial, sans-serif">\n'
            f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>\n'
        )
        return head + "\n".join(self.parts) + "\n</svg>\n"


END = ' text-anchor="end"'
MIDDLE = ' text-anchor="middle"'
BOLD = ' font-weight="600"'


def plot(found: Benchmark) -> str:
    """The text of an SVG file."""
    canvas = Canvas()
    name = found.settings["model"].replace("\\", "/").rsplit("/", 1)[-1]
    canvas.text(24, 36, f"q8emu bench: {shorten(name, 60)}", size=19, more=BOLD)
    threads = found.settings["threads"]
    told = f"{threads} thread{'' if threads == '1' else 's'}, profile {found.settings['numerics'].split(' (')[0]}"
    canvas.text(24, 57, f"{told}, {found.fingerprint['kernels'].split(':')[0]} kernels", fill=PALE)
    canvas.text(24, 75, shorten(found.fingerprint["cpu"], 130), size=11, fill=PALE)
    canvas.y = 105
    rows = [(at, peer) for at in found.at for peer in at.peers]
    if rows:
        _ratios(canvas, rows, found.at_least)
    for at in found.at:
        if at.layers:
            _layers(canvas, at)
    return canvas.document()


def _ratios(canvas: Canvas, rows: Sequence[tuple[AtBatch, Peer]], bar: float | None) -> None:
    """One row per peer and batch, on a logarithmic axis."""
    _heading(
        canvas, "Time of the peer / time of q8emu", "dot: median of the pairs; line: quartiles; right of 1: faster"
    )
    spreads = [peer.pairs.ratio for _, peer in rows if peer.pairs is not None]
    values = [v for s in spreads for v in (s.q1, s.q3)] + [1.0] + ([bar] if bar else [])
    low, high = min(values) / 1.15, max(values) * 1.15
    span = log10(high / low)

    def x(value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * log10(value / low) / span

    top, bottom = canvas.y, canvas.y + ROW * len(rows)
    for tick in ticks(low, high):
        is_one = tick == 1.0
        canvas.line(x(tick), top, x(tick), bottom, LINE if is_one else GRID, 1.5 if is_one else 1)
        canvas.text(x(tick), bottom + 15, f"{tick:g}×", size=11, fill=PALE, more=MIDDLE)
    if bar:
        canvas.line(x(bar), top - 4, x(bar), bottom, BAD, 1.5, ' stroke-dasharray="5 4"')
        canvas.text(x(bar), top - 7, f"bar {bar:g}×", size=11, fill=BAD, more=MIDDLE)
    for at, peer in rows:
        middle = canvas.y + ROW / 2
        canvas.text(LEFT - 12, middle + 4, f"{peer.name}, batch {at.batch}", more=END)
        if peer.pairs is None:
            canvas.text(LEFT + 8, middle + 4, "refused: the outputs differ that should not", fill=BAD)
        else:
            ratio = peer.pairs.ratio
            shade = GOOD if peer.outputs.verdict == "exact" else MARKED
            canvas.line(x(ratio.q1), middle, x(ratio.q3), middle, shade, 5, ' stroke-linecap="round" opacity="0.4"')
            canvas.parts.append(f'<circle cx="{x(ratio.median):.1f}" cy="{middle:.1f}" r="5.5" fill="{shade}"/>')
            canvas.text(WIDTH - RIGHT + 14, middle + 4, f"{ratio.median:.2f}×", more=BOLD)
            canvas.text(WIDTH - RIGHT + 78, middle + 4, f"outputs {verdict(peer)}", size=11, fill=shade)
        canvas.y += ROW
    canvas.y += 48


def verdict(peer: Peer) -> str:
    """Of the outputs, in a word or two."""
    return "differ, see text" if peer.outputs.verdict == "differs" else peer.outputs.verdict


def _layers(canvas: Canvas, at: AtBatch) -> None:
    """One bar per step, the longest ones where there are many, in the order of the program."""
    shown = slowest(at.layers, MOST_LAYERS)
    percent = f"{at.share_of_peak:.0%} of the peak of {at.peak_gmacs:,.0f}"
    told = f"{at.ns / 1e3:,.0f} µs a run, {at.gmacs:,.1f} GMAC/s; the fastest: {percent} GMAC/s"
    _heading(canvas, f"Steps at batch {at.batch}: microseconds", told)
    longest = max(layer.ns for layer in shown) or 1.0
    room = WIDTH - LEFT - RIGHT
    for layer in shown:
        middle = canvas.y + ROW / 2
        length = room * layer.ns / longest
        canvas.text(LEFT - 12, middle + 4, shorten(layer.node or layer.kind, 32), size=12, more=END)
        canvas.rect(LEFT, middle - BAR / 2, length, BAR, SHADES.get(layer.kind, OTHER))
        words = f"{layer.ns / 1e3:,.1f}  {layer.kind}"
        is_inside = length > 8.0 * len(words)
        canvas.text(
            LEFT + 8 if is_inside else LEFT + length + 6,
            middle + 4,
            words,
            size=11,
            fill="#ffffff" if is_inside else PALE,
        )
        share = layer.ns / at.layers_ns if at.layers_ns else 0.0
        canvas.text(WIDTH - RIGHT + 60, middle + 4, f"{share:.1%}", size=12, more=END)
        if layer.macs:
            canvas.text(WIDTH - 24, middle + 4, f"{layer.gmacs:,.1f} GMAC/s", size=12, fill=PALE, more=END)
        canvas.y += ROW - 4
    rest = [layer for layer in at.layers if layer not in shown]
    if rest:
        spent = sum(layer.ns for layer in rest)
        canvas.text(
            LEFT, canvas.y + 16, f"{len(rest)} shorter steps: {spent / 1e3:,.1f} µs together", size=12, fill=PALE
        )
        canvas.y += ROW
    canvas.y += 34


def slowest(layers: Sequence[Layer], most: int) -> list[Layer]:
    """Those that take half a percent of the time, at most so many, in the order of the program."""
    least = LEAST_SHARE * sum(layer.ns for layer in layers)
    kept = sorted((layer for layer in layers if layer.ns >= least), key=lambda layer: -layer.ns)[:most]
    return sorted(kept, key=lambda layer: layer.step)


def _heading(canvas: Canvas, title: str, told: str) -> None:
    canvas.text(24, canvas.y, title, size=15, more=BOLD)
    canvas.text(24, canvas.y + 18, told, size=12, fill=PALE)
    canvas.y += 40


def ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten between two positive numbers, near ones closer; 1 is among them.

    Example:
        >>> ticks(0.6, 30)
        [1.0, 2.0, 5.0, 10.0, 20.0]
    """
    powers = range(floor(log10(low)), ceil(log10(high)) + 1)
    steps = (1, 2, 5) if high / low > 6 else (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8)
    found = [step * 10.0**power for power in powers for step in steps]
    return sorted({round(value, 9) for value in found if low <= value <= high} | {1.0})


def shorten(name: str, most: int) -> str:
    """The name with its middle left out where it is longer."""
    if len(name) <= most:
        return name
    tail = (most - 1) // 2
    return f"{name[: most - 1 - tail]}…{name[len(name) - tail :]}"
