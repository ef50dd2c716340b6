# SPDX-License-Identifier: Apache-2.0
"""q8emu verify: emulate, compare layer by layer and end to end with the named oracles, give a verdict."""

from __future__ import annotations

import sys
from typing import Annotated

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
    NumericsName,
    Random,
    Seed,
    Shape,
    Threads,
    parse_shapes,
    split_names,
)
from q8emu.cli.output import console, print_json, progress

Against = Annotated[
    list[str] | None,
    typer.Option(
        "--against",
        help="An oracle, such as ort, ort-unfused, litert-ref or tflm. Repeat it, or give a comma list; "
        "all that are named decide. Without it those that run such a file are asked, and the profile's own decides.",
        metavar="NAME",
    ),
]
Limit = Annotated[
    int,
    typer.Option(
        "--reference-limit", help="onnx-reference and spec are slow: they see the first N inputs.", metavar="N", min=1
    ),
]


def verify(
    model: Model = None,
    inputs: Inputs = None,
    random: Random = None,
    seed: Seed = 0,
    cifar10: Cifar10 = None,
    data: Data = None,
    numerics: NumericsName = "ort",
    against: Against = None,
    kernels: Kernels = "auto",
    threads: Threads = 0,
    batch: Batch = None,
    no_host: NoHost = False,
    shape: Shape = None,
    bias: Bias = "auto",
    reference_limit: Limit = 16,
    json: Json = False,
) -> None:
    """Emulate a model and compare every quantized tensor and every output with the oracles, bit for bit.

    The exit code follows the oracle that the numerics profile promises and every oracle named with --against; the
    others are reported and do not decide. A profile that no runtime computes, an own chip among them, is held to
    'spec': the kernels to q8emu's own definition. 0: exact wherever exactness is promised. 1: differs. 2: cannot.
    """
    choice = InputChoice(inputs, random, seed, cifar10, data)
    choice.check()
    from q8emu.emulator import Options
    from q8emu.verify import compare, default_inputs, open_model

    emulator = open_model(model, Options(numerics, kernels, threads, batch, bias, no_host, shapes=parse_shapes(shape)))
    arrays, source = choice.load(emulator)
    if arrays is None:
        arrays, source = default_inputs(emulator)
    with progress() as tell:
        report = compare(
            emulator,
            arrays,
            against=split_names(against),
            reference_limit=reference_limit,
            inputs_from=source,
            progress=tell,
        )
    if json:
        print_json(report.to_json())
    else:
        from q8emu.report_text import show

        show(report, console())
    if report.exit_code == 2:
        print(f"q8emu: no verdict: {report.reason}", file=sys.stderr)
    raise typer.Exit(report.exit_code)
