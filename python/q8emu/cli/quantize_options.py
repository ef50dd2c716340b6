# SPDX-License-Identifier: Apache-2.0
"""The options of q8emu quantize, and what those that belong together mean. Heavy imports are inside the functions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import numpy as np

    from q8emu.ptq.float_model import FloatModel
    from q8emu.ptq.images import Images
    from q8emu.ptq.samples import Samples

TEST_IMAGES = 1000  # by default

Source = Annotated[Path, typer.Argument(help="A float model: an .onnx or a .pt file.", metavar="MODEL")]
Output = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--output",
        help="The file to write; by default beside the model, MODEL_int8.onnx or MODEL_fbgemm.pt. With --bit-map an "
        ".html, .md or .json file, by default none.",
        metavar="FILE",
    ),
]
Dtype = Annotated[
    str | None, typer.Option("--dtype", help="Of the activations: int8 (default) or uint8.", metavar="TYPE")
]
Style = Annotated[str | None, typer.Option("--format", help="qdq (default) or qoperator.", metavar="FORMAT")]
PerChannel = Annotated[bool, typer.Option("--per-channel", help="A scale for each output channel of the weights.")]
Method = Annotated[
    str | None,
    typer.Option("--method", help="How ranges are taken: minmax (default), entropy or percentile.", metavar="METHOD"),
]
Percentile = Annotated[
    float | None,
    typer.Option("--percentile", help="Percent of the values that a range covers; 99.999 by default.", metavar="P"),
]
ReduceRange = Annotated[
    bool, typer.Option("--reduce-range", help="7-bit weights, for processors whose products saturate in pairs.")
]
PerClass = Annotated[
    int | None, typer.Option("--per-class", help="Training images of each class; 100 by default.", metavar="N")
]
Seed = Annotated[
    int | None, typer.Option("--seed", help="Of the draw of the images; 0 by default.", metavar="S", min=0)
]
SamplesFile = Annotated[
    Path | None,
    typer.Option("--samples", help="Calibrate on the images of an OUT.samples.json.", metavar="FILE"),
]
Calibration = Annotated[
    Path | None,
    typer.Option("--calibration", help="Calibrate on an .npz file, by the model's names.", metavar="FILE"),
]
WeightBits = Annotated[
    int | None,
    typer.Option("--weight-bits", help="4 to 8; with --bit-map those of the map of the layers.", metavar="B"),
]
ActivationBits = Annotated[int | None, typer.Option("--activation-bits", help="4 to 8.", metavar="B")]
Engine = Annotated[
    str | None,
    typer.Option("--backend", help="For .pt files: fbgemm (default), x86, qnnpack or onednn.", metavar="NAME"),
]
Trust = Annotated[bool, typer.Option("--trust", help="Unpickle a foreign .pt file, which runs its code.")]
BitMapMode = Annotated[
    bool, typer.Option("--bit-map", help="Count right answers for 4 to 8 weight and activation bits, and per layer.")
]
Limit = Annotated[
    int | None,
    typer.Option("--limit", help="With --bit-map: the first N test images; 1000 by default.", metavar="N", min=1),
]
OwnInputs = Annotated[
    Path | None,
    typer.Option("--inputs", help="With --bit-map, instead of CIFAR-10: an .npz file with one array.", metavar="FILE"),
]
Labels = Annotated[
    Path | None, typer.Option("--labels", help="The classes of --inputs: integers [N], .npy or .npz.", metavar="FILE")
]
Force = Annotated[bool, typer.Option("--force", help="Replace files that are there.")]


def refuse(options: dict[str, Any], why: str) -> None:
    """Refuse the options that are given.

    Raises:
        BadInput: one is; `why` says where it belongs.
    """
    from q8emu.errors import BadInput

    given = [name for name, value in options.items() if value not in (None, False)]
    if given:
        raise BadInput(f"{', '.join(given)}: only {why}. Leave it out.")


@dataclass(frozen=True)
class ImageChoice:
    """What the map classifies: test images of CIFAR-10, or own ones with their labels."""

    limit: int | None
    inputs: Path | None
    labels: Path | None
    data: Path | None

    def load(self, model: Path) -> Images:
        """The labelled images, as the float model takes them."""
        from q8emu.ptq.classifier import open_classifier
        from q8emu.ptq.images import choose

        own = self.inputs is not None or self.labels is not None
        limit = self.limit if own or self.limit else TEST_IMAGES
        data = None if own else self.data  # names the calibration images then
        return choose(open_classifier(model, "ort"), self.inputs, self.labels, data, limit=limit)


@dataclass(frozen=True)
class Calibrated:
    """Where the calibration samples come from: an .npz file, a file of samples, or a draw from the training set."""

    per_class: int | None
    seed: int | None
    samples: Path | None
    calibration: Path | None
    data: Path | None

    def check(self, *, is_map: bool) -> None:
        """Refuse two sources at once, before anything is read."""
        from q8emu.errors import BadInput

        drawn = {"--per-class": self.per_class, "--seed": self.seed}
        if self.samples is not None:
            refuse(drawn | {"--calibration": self.calibration}, "without --samples, which says it all")
        if self.calibration is not None:
            refuse(drawn | ({} if is_map else {"--data": self.data}), "for images of CIFAR-10, not with --calibration")
        if self.per_class is not None and self.per_class < 1:
            raise BadInput(f"--per-class {self.per_class}: expected a positive number.")

    def find(self) -> Samples:
        """The samples, drawn or from the file."""
        from q8emu.ptq.samples import Samples

        if self.samples is not None:
            return Samples.load(self.samples)
        per_class = 100 if self.per_class is None else self.per_class
        return Samples.from_training_set(self.data, per_class, self.seed or 0)

    def load(self, model: FloatModel) -> tuple[dict[str, np.ndarray], Samples | None, str]:
        """Inputs by name, the samples where there are such, and how to call them."""
        from q8emu.inputs import load_npz

        if self.calibration is not None:
            inputs = load_npz(self.calibration, model.specs)
            return inputs, None, f"{model.check(inputs):,} from {self.calibration}"
        found = self.find()
        return model.image_inputs(found.images(self.data)), found, found.describe()

    def keep(self, found: Samples | None, output: Path, *, force: bool) -> Path | None:
        """Where the samples will be saved: beside the output, unless they came from a file."""
        from q8emu.files import check_target

        if found is None or self.samples is not None:
            return None
        target = output.with_suffix(".samples.json")
        check_target(target, (".json",), force=force)
        return target
