# SPDX-License-Identifier: Apache-2.0
"""q8emu bench: the emulator and other runtimes on the same model, in turns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from q8emu.cli.options import (
    Bias,
    Cifar10,
    Data,
    InputChoice,
    Inputs,
    Json,
    Model,
    Random,
    Seed,
    Shape,
    parse_shapes,
    split_names,
)
from q8emu.cli.output import console, print_json, progress
from q8emu.cli.run import check_output

if TYPE_CHECKING:
    from rich.console import Console

    from q8emu.bench.pairs import Sample
    from q8emu.bench.result import AtBatch, Benchmark

Against = Annotated[
    list[str] | None,
    typer.Option(
        "--against",
        help="A runtime, such as ort, ort-default, litert, litert-xnnpack or torch. Repeat it, or give a comma list; "
        "without it, those of the file's format.",
        metavar="NAME",
    ),
]
Batches = Annotated[
    str, typer.Option("--batch", help="Inputs per run, a number or a comma list; by default 1.", metavar="N")
]
Numerics = Annotated[
    str | None,
    typer.Option(
        "--numerics", help="Numerics profile; by default the one whose bits a named runtime promises.", metavar="NAME"
    ),
]
Isa = Annotated[
    str, typer.Option("--isa", "--kernels", help="Kernels: auto, reference, or the name of an ISA.", metavar="NAME")
]
Threads = Annotated[
    int, typer.Option("--threads", help="Threads of both sides; 0 is one per core.", metavar="N", min=0)
]
Seconds = Annotated[float, typer.Option("--seconds", help="Time for each runtime and batch.", metavar="S")]
Bar = Annotated[
    float | None,
    typer.Option("--at-least", help="Exit code 1 where a median ratio is below this.", metavar="RATIO", min=0.0),
]
Plot = Annotated[Path | None, typer.Option("--plot", help="Write the picture to this SVG file.", metavar="FILE")]
Layers = Annotated[bool, typer.Option("--layers", help="Print the time of each step.")]


def bench(
    model: Model = None,
    against: Against = None,
    batch: Batches = "",
    threads: Threads = 1,
    numerics: Numerics = None,
    isa: Isa = "auto",
    seconds: Seconds = 3.0,
    at_least: Bar = None,
    layers: Layers = False,
    plot: Plot = None,
    inputs: Inputs = None,
    random: Random = None,
    seed: Seed = 0,
    cifar10: Cifar10 = None,
    data: Data = None,
    shape: Shape = None,
    bias: Bias = "auto",
    json: Json = False,
) -> None:
    """Time q8emu and other runtimes in turns, on the same inputs and threads, after comparing what they compute.

    The ratio is the time of the runtime by the time of q8emu, the median over pairs of neighbouring samples: above 1
    q8emu is faster. 0: measured, and no ratio below --at-least. 1: below it, or outputs differ that have to be the
    same. 2: cannot.
    """
    choice = InputChoice(inputs, random, seed, cifar10, data)
    choice.check()
    if plot is not None:
        check_output(plot, "--plot")
    batches = parse_batches(batch)
    from q8emu.bench import bench as measure
    from q8emu.emulator import Options
    from q8emu.verify import open_model

    shapes = parse_shapes(shape)
    arrays, source = None, ""
    if choice.is_given:
        arrays, source = choice.load(open_model(model, Options(bias=bias, shapes=shapes)))
    with progress() as tell:
        found = measure(
            model,
            arrays,
            against=split_names(against),
            batches=batches,
            numerics=numerics,
            kernels=isa,
            threads=threads,
            bias=bias,
            seconds=seconds,
            at_least=at_least,
            inputs_from=source,
            progress=tell,
            shapes=shapes,
        )
    if plot is not None:
        from q8emu.bench.plot import plot as draw

        plot.write_text(draw(found), encoding="utf-8")
    if json:
        print_json(found.to_json())
    else:
        show(found, console(), layers=layers)
    raise typer.Exit(found.exit_code)


def parse_batches(text: str) -> list[int] | None:
    """Numbers with commas between them; None for none.

    Raises:
        BadInput: something else, or a number below 1.
    """
    from q8emu.errors import BadInput

    parts = [part.strip() for part in text.split(",")] if text else []
    if not all(part.isascii() and part.isdigit() and int(part) > 0 for part in parts):
        raise BadInput(f"--batch {text}: expected numbers of 1 or more, such as 1,64.")
    return [int(part) for part in parts] or None


def show(found: Benchmark, output: Console, *, layers: bool) -> None:
    """Print settings, a line per runtime and batch, how the outputs compare, the steps, the verdict."""
    from q8emu.report_text import facts, line, print_columns

    facts(output, found.settings, "settings")
    facts(output, found.fingerprint, "fingerprint")
    for peer in {p.name: p for at in found.at for p in at.peers}.values():
        facts(output, {k: v for k, v in peer.provenance.items() if k not in ("cpu", "platform")}, f"peer {peer.name}")
    line(output, "")
    line(output, "times of one run in µs: median (least); ratio: peer / q8emu, median [quartiles] of pairs", "bold")
    heads = ["peer", "outputs", "batch", "q8emu", "peer", "ratio", "quartiles", "rounds"]
    rows = [row for at in found.at for row in _rows(at)]
    if rows:
        print_columns(output, heads, rows, [max(map(len, c)) for c in zip(heads, *rows, strict=True)], numbers_from=2)
    line(output, "")
    for at in found.at:
        line(
            output,
            f"batch {at.batch}: {at.macs:,} MACs a run, {at.ns / 1e3:,.1f} µs, {at.gmacs:.1f} GMAC/s; the fastest run "
            f"{at.share_of_peak:.1%} of the measured peak of {at.peak_gmacs:.1f} GMAC/s",
        )
        if layers:
            _show_layers(at, output)
    for at in found.at:
        for peer in at.peers:
            line(
                output, f"outputs of {peer.name} at batch {at.batch}: {peer.outputs.verdict}. {peer.outputs.sentence}."
            )
    for note in found.notes:
        line(output, f"note: {note}")
    _show_verdict(found, output)


def _rows(at: AtBatch) -> list[list[str]]:
    rows = []
    for peer in at.peers:
        cells = ["-"] * 5
        if peer.pairs is not None:
            ratio = peer.pairs.ratio
            cells = [
                _times(peer.pairs.first),
                _times(peer.pairs.second),
                f"{ratio.median:.2f}",
                f"[{ratio.q1:.2f}, {ratio.q3:.2f}]",
                f"{peer.pairs.rounds}",
            ]
        rows.append([peer.name, peer.outputs.verdict, f"{at.batch}", *cells])
    return rows


def _times(samples: Sequence[Sample]) -> str:
    from statistics import median

    return f"{median(s.ns for s in samples) / 1e3:,.1f} ({min(s.least_ns for s in samples) / 1e3:,.1f})"


def _show_layers(at: AtBatch, output: Console) -> None:
    from q8emu.report_text import line, print_columns

    heads = ["step", "kind", "node", "kernel", "MACs", "µs", "GMAC/s", "share"]
    rows = [
        [
            f"{layer.step}",
            layer.kind,
            layer.node,
            layer.kernel,
            f"{layer.macs:,}" if layer.macs else "",
            f"{layer.ns / 1e3:,.1f}",
            f"{layer.gmacs:.1f}" if layer.macs else "",
            f"{layer.ns / at.layers_ns:.1%}",
        ]
        for layer in at.layers
    ]
    rows.append(["", "all steps", "", "", f"{at.macs:,}", f"{at.layers_ns / 1e3:,.1f}", "", ""])
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    print_columns(output, heads, rows, widths, numbers_from=4)
    line(output, "")


def _show_verdict(found: Benchmark, output: Console) -> None:
    from q8emu.report_text import line

    if found.refused:
        line(output, f"refused: {len(found.refused)} of the peers computes something else", "bold red")
    elif found.at_least is None:
        line(output, "measured; no bar was given (--at-least)", "bold")
    elif found.missed:
        line(output, f"below the bar of {found.at_least:g}: {', '.join(found.missed)}", "bold red")
    else:
        line(output, f"every ratio is at least {found.at_least:g}", "bold green")
