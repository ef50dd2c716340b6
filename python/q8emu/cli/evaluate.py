# SPDX-License-Identifier: Apache-2.0
"""q8emu evaluate: how many images a model gets right, by class, and what is wrong in front of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from q8emu.cli.options import Batch, Data, Json, Model
from q8emu.cli.output import console, echo_settings, print_json, progress

if TYPE_CHECKING:
    from rich.console import Console

    from q8emu.ptq.classifier import Classifier
    from q8emu.ptq.diagnose import Diagnosis
    from q8emu.ptq.evaluate import Evaluation
    from q8emu.ptq.images import Images

Backend = Annotated[
    str | None,
    typer.Option(
        "--backend",
        help="What runs the model: q8emu, or a runtime of its format: ort, ort-default or ort-unfused; litert, "
        "litert-ref, litert-xnnpack or tflm; torch, torch-fbgemm or another engine. By default ort, litert, and for "
        "TorchScript q8emu.",
        metavar="NAME",
    ),
]
Numerics = Annotated[
    str | None,
    typer.Option(
        "--numerics",
        help="Numerics profile of the backend q8emu: a name, or a .toml file. By default ort, tflite or torch-fbgemm.",
        metavar="NAME",
    ),
]
Limit = Annotated[int | None, typer.Option("--limit", help="The first N images.", metavar="N", min=1)]
OwnInputs = Annotated[
    Path | None,
    typer.Option(
        "--inputs",
        help="Instead of CIFAR-10: an .npz file with one array, exactly what the model takes.",
        metavar="FILE",
    ),
]
Labels = Annotated[
    Path | None,
    typer.Option("--labels", help="The classes of --inputs: integers [N] in an .npy or .npz file.", metavar="FILE"),
]
Range = Annotated[
    str,
    typer.Option(
        "--input-range", help="What CIFAR-10 pixels are fed as to a float input: 0..255 or 0..1.", metavar="RANGE"
    ),
]
Threads = Annotated[int, typer.Option("--threads", help="Threads of what runs; 0 is one per core.", metavar="N", min=0)]


def evaluate(
    model: Model = None,
    backend: Backend = None,
    numerics: Numerics = None,
    limit: Limit = None,
    data: Data = None,
    inputs: OwnInputs = None,
    labels: Labels = None,
    input_range: Range = "0..255",
    threads: Threads = 0,
    batch: Batch = None,
    json: Json = False,
) -> None:
    """Count how many CIFAR-10 test images a model gets right, in all and by class, and name what is wrong before it.

    Of equal scores the first counts; how often that happens is told. 0: evaluated. 1: evaluated, and something is
    named: chance level, clipped or unused codes, pixels or labels in another range or order. 2: cannot.
    """
    from q8emu.models import default_model
    from q8emu.ptq.classifier import open_classifier
    from q8emu.ptq.diagnose import diagnose
    from q8emu.ptq.evaluate import evaluate as run
    from q8emu.ptq.images import choose

    classifier = open_classifier(model or default_model(), backend, numerics, threads, batch)
    images = choose(classifier, inputs, labels, data, input_range=input_range, limit=limit)
    if not json:
        echo_settings("evaluate", _settings(classifier, images))
    with progress() as tell:
        found = run(classifier, images.arrays, images.labels, tell, prepare=images.prepare, source=images.source)
        about = diagnose(classifier, found, images.arrays, images.prepare, own_data=images.are_own, progress=tell)
    if json:
        print_json(found.to_json() | {"diagnosis": about.to_json()})
    else:
        show(found, about, console())
    raise typer.Exit(1 if about.findings else 0)


def _settings(classifier: Classifier, images: Images) -> dict[str, str]:
    told = {"model": str(classifier.model), "format": classifier.format, "backend": classifier.backend}
    if classifier.numerics:
        told["numerics"] = classifier.numerics
    told |= {"images": f"{len(images.labels):,}, {images.source}", "input": str(classifier.input)}
    return told | {"batch": str(classifier.batch), "threads": str(classifier.threads)}


def show(found: Evaluation, about: Diagnosis, output: Console) -> None:
    """Print the counts, the confusion matrix, the time, and what is wrong."""
    from q8emu.report_text import line

    model = found.model
    line(output, f"{model.name}: {model.framework}, {model.dtype}, {model.bytes:,} bytes")
    rows = [
        [name, f"{int(row.sum()):,}", f"{int(row[i]):,}", percent(int(row[i]), int(row.sum()))]
        for i, (name, row) in enumerate(zip(found.classes, found.confusion, strict=True))
    ]
    rows.append(["all", f"{found.samples:,}", f"{found.correct:,}", percent(found.correct, found.samples)])
    _table(output, ["class", "total", "correct", "percent"], rows)
    line(output, "")
    line(output, "confusion matrix: a row per right class, a column per predicted one", "bold")
    counts = [[str(count) for count in row] for row in found.confusion.tolist()]
    _table(output, ["", *found.classes], [[name, *row] for name, row in zip(found.classes, counts, strict=True)])
    line(output, "")
    line(output, f"ties: {found.ties:,} images have several highest scores; the first of them counts")
    line(output, f"time: {found.seconds:.2f} s, {found.samples / max(found.seconds, 1e-9):,.0f} images/s")
    line(output, f"first quantizer: {about.quantizer or 'none'}")
    for finding in about.findings:
        line(output, f"warning ({finding.name}): {finding.sentence}", "bold yellow")
    line(output, f"accuracy: {found.correct:,} of {found.samples:,}, {percent(found.correct, found.samples)} %", "bold")


def percent(part: int, whole: int) -> str:
    """With two digits; a dash of nothing."""
    return f"{100 * part / whole:.2f}" if whole else "-"


def _table(output: Console, heads: list[str], rows: list[list[str]]) -> None:
    from q8emu.report_text import print_columns

    widths = [max(len(text) for text in column) for column in zip(heads, *rows, strict=True)]
    print_columns(output, heads, rows, widths, numbers_from=1)
