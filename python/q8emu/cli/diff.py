# SPDX-License-Identifier: Apache-2.0
"""q8emu diff: what a change of arithmetic costs on a model, per layer and in predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from q8emu.cli.options import (
    Batch,
    Bias,
    Cifar10,
    Data,
    InputChoice,
    Inputs,
    Json,
    Kernels,
    Model,
    NoHost,
    Random,
    Seed,
    Shape,
    Threads,
    parse_shapes,
    split_names,
)
from q8emu.cli.output import console, print_json, progress

if TYPE_CHECKING:
    from rich.console import Console

    from q8emu.diff import Difference

TwoNumerics = Annotated[
    list[str] | None,
    typer.Option("--numerics", help="Two numerics profiles: give it twice, or a comma list.", metavar="NAME"),
]
MOST_FLIPS = 20  # printed; --json has all of them


def diff(
    model: Model = None,
    numerics: TwoNumerics = None,
    inputs: Inputs = None,
    random: Random = None,
    seed: Seed = 0,
    cifar10: Cifar10 = None,
    data: Data = None,
    kernels: Kernels = "auto",
    threads: Threads = 0,
    batch: Batch = None,
    no_host: NoHost = False,
    shape: Shape = None,
    bias: Bias = "auto",
    json: Json = False,
) -> None:
    """Run a model under two numerics profiles; count where they differ, and name the inputs whose class changes.

    Each layer is counted twice: in the chain, where each arithmetic feeds itself, and given the first one's tensors,
    which names the layers that cause a difference. 0: the same bits everywhere. 1: differs. 2: cannot.
    """
    choice = InputChoice(inputs, random, seed, cifar10, data)
    choice.check()
    from q8emu.diff import compare_numerics
    from q8emu.emulator import Options
    from q8emu.errors import BadInput
    from q8emu.verify import default_inputs, open_model

    names = split_names(numerics) or []
    if len(names) != 2:
        raise BadInput(f"--numerics: diff compares two profiles; found {', '.join(names) or 'none'}.")
    options = Options(names[0], kernels, threads, batch, bias, no_host, shapes=parse_shapes(shape))
    emulator = open_model(model, options)
    arrays, source = choice.load(emulator)
    if arrays is None:
        arrays, source = default_inputs(emulator)
    with progress() as tell:
        found = compare_numerics(emulator, names[1], arrays, choice.labels(), source, tell)
    if json:
        print_json(found.to_json())
    else:
        show(found, console())
    raise typer.Exit(found.exit_code)


def show(found: Difference, output: Console) -> None:
    """Print settings, one line per tensor, the causes, and the predictions."""
    from q8emu.report_text import count_cell, facts, histogram_text, line, print_columns

    first, second = found.names
    facts(output, found.settings, "settings")
    line(output, "")
    line(output, f"tensors in graph order: elements of {second} that differ from {first} / max LSB", "bold")
    rows = [
        [c.name, c.operator, c.dtype, f"{c.elements:,}", count_cell(c, c.elements), count_cell(g, g.elements)]
        for c, g in ((layer.chain, layer.given) for layer in found.layers)
    ]
    heads = ["tensor", "operator", "dtype", "elements", "in the chain", f"given {first}'s inputs"]
    widths = [max(len(text) for text in column) for column in zip(heads, *rows, strict=True)]
    print_columns(output, heads, rows, widths, numbers_from=3)
    line(output, "")
    for note in found.notes:
        line(output, f"note: {note}")
    for layer in found.causes:
        told = histogram_text(layer.given.histogram)
        line(output, f"cause: '{layer.given.name}' ({layer.given.operator}), LSB histogram {told or 'none'}")
    _show_predictions(found, output)
    verdict = "the same bits in every tensor" if found.is_same else f"{len(found.causes)} layers cause differences"
    line(output, f"{first} and {second}: {verdict}", "bold green" if found.is_same else "bold red")


def _show_predictions(found: Difference, output: Console) -> None:
    from q8emu.report_text import line

    if not found.predicts:
        return
    line(output, f"predictions of '{found.predicts}': {len(found.flips):,} of {found.samples:,} inputs change class")
    for flip in found.flips[:MOST_FLIPS]:
        label = "" if flip.label is None else f", label {flip.label}"
        line(output, f"  input {flip.sample}: class {flip.before} becomes {flip.after}{label}")
    if len(found.flips) > MOST_FLIPS:
        line(output, f"  … {len(found.flips) - MOST_FLIPS} more (--json has all of them)")
    if found.correct is not None:
        told = ", ".join(
            f"{name} {right:,} of {found.samples:,}" for name, right in zip(found.names, found.correct, strict=True)
        )
        line(output, f"right answers: {told}")
