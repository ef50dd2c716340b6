# SPDX-License-Identifier: Apache-2.0
"""Options that several commands share, and what they mean. Heavy imports are inside the functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import numpy as np

    from q8emu.emulator import Emulator

Model = Annotated[
    Path | None, typer.Argument(help="An .onnx, .tflite or TorchScript file; without it, the packaged ResNet8.")
]
Shape = Annotated[
    list[str] | None,
    typer.Option(
        "--shape",
        help="Shape of an input of a PyTorch file, 1,3,32,32 or NAME=1,3,32,32; by default that of its traced example.",
        metavar="SHAPE",
    ),
]
Inputs = Annotated[
    Path | None, typer.Option("--inputs", help="Inputs from an .npz file, by the model's names.", metavar="FILE")
]
Random = Annotated[int | None, typer.Option("--random", help="N random inputs.", metavar="N")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of --random.", metavar="S", min=0)]
Cifar10 = Annotated[
    int | None,
    typer.Option(
        "--cifar10", help="The first N CIFAR-10 test images, raw pixels 0..255 (int8: pixel - 128).", metavar="N"
    ),
]
Data = Annotated[
    Path | None,
    typer.Option("--data", help="Folder of the data; by default Q8EMU_DATA, else the user's cache.", metavar="DIR"),
]
NumericsName = Annotated[
    str,
    typer.Option(
        "--numerics",
        help="Numerics profile: whose arithmetic is emulated; a name, or the .toml file of an own chip.",
        metavar="NAME",
    ),
]
Kernels = Annotated[
    str, typer.Option("--kernels", help="auto, reference, spec, or the name of an ISA.", metavar="NAME")
]
Threads = Annotated[
    int, typer.Option("--threads", help="Threads of the emulator; 0 is one per core.", metavar="N", min=0)
]
Batch = Annotated[
    int | None,
    typer.Option("--batch", help="Inputs per run where the model leaves the batch open.", metavar="N", min=1),
]
NoHost = Annotated[bool, typer.Option("--no-host", help="Refuse models with operators that stay in float.")]
Bias = Annotated[
    str,
    typer.Option(
        "--bias", help="A bias whose scale is not x_scale·w_scale: auto, as-is or rescaled.", metavar="READING"
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout and nothing else.")]


@dataclass(frozen=True)
class InputChoice:
    """Where the inputs of a command come from; at most one source."""

    inputs: Path | None = None
    random: int | None = None
    seed: int = 0
    cifar10: int | None = None
    data: Path | None = None

    def check(self) -> None:
        """Refuse two sources at once, before anything is read.

        Raises:
            BadInput: more than one source.
        """
        from q8emu.errors import BadInput

        given = {"--inputs": self.inputs, "--random": self.random, "--cifar10": self.cifar10}
        named = [name for name, value in given.items() if value is not None]
        if len(named) > 1:
            raise BadInput(f"The inputs can come from one place only; found {' and '.join(named)}.")

    @property
    def is_given(self) -> bool:
        """Do the options name a source?"""
        return any(value is not None for value in (self.inputs, self.random, self.cifar10))

    def load(self, emulator: Emulator) -> tuple[Mapping[str, np.ndarray] | None, str]:
        """The inputs and how to call them; None where the options name none."""
        from q8emu import inputs

        if self.inputs is not None:
            return inputs.load_npz(self.inputs, emulator.specs), f"from {self.inputs}"
        if self.random is not None:
            made = inputs.random_inputs(emulator.graph, emulator.specs, self.random, self.seed)
            return made, f"random, seed {self.seed}"
        if self.cifar10 is not None:
            return inputs.cifar10_inputs(emulator.specs, self.data, self.cifar10), "CIFAR-10 test images"
        return None, ""

    def labels(self) -> np.ndarray | None:
        """The right class of each input, None where the source has none."""
        if self.cifar10 is None:
            return None
        from q8emu.datasets import cifar10

        return cifar10.test_images(self.data)[1][: self.cifar10]


def parse_shapes(given: list[str] | None) -> dict[str, tuple[int, ...]]:
    """Shapes by input name; under "" where no name is given.

    Raises:
        BadInput: not numbers with commas between them.
    """
    from q8emu.errors import BadInput

    shapes = {}
    for text in given or []:
        name, _, sizes = text.rpartition("=")
        parts = sizes.split(",")
        if not all(part.strip().isascii() and part.strip().isdigit() for part in parts):
            raise BadInput(f"--shape {text}: expected numbers such as 1,3,32,32, or NAME=1,3,32,32.")
        shapes[name] = tuple(int(part) for part in parts)
    return shapes


def split_names(names: list[str] | None) -> list[str] | None:
    """Repeated options and comma lists mean the same."""
    if not names:
        return None
    return [part.strip() for name in names for part in name.split(",") if part.strip()]
