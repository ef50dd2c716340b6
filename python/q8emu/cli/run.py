# SPDX-License-Identifier: Apache-2.0
"""q8emu run: emulate, and write outputs and chosen tensors to an npz file."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
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
    NumericsName,
    Random,
    Seed,
    Shape,
    Threads,
    parse_shapes,
    split_names,
)
from q8emu.cli.output import echo_settings, print_json, progress

if TYPE_CHECKING:
    import numpy as np

    from q8emu.emulator import Emulator
    from q8emu.program import Program
    from q8emu.trace import Trace

Out = Annotated[Path, typer.Option("-o", "--output", help="The npz file to write.", metavar="FILE")]
Tensor = Annotated[
    list[str] | None,
    typer.Option("--tensor", help="Write this tensor too; repeat it, or give a comma list.", metavar="NAME"),
]
AllTensors = Annotated[bool, typer.Option("--all-tensors", help="Write every quantized tensor.")]
Accumulators = Annotated[
    bool, typer.Option("--accumulators", help="Write the int32 accumulators too, named 'accumulator:NODE'.")
]


def run(
    model: Model = None,
    output: Out = Path("out.npz"),
    inputs: Inputs = None,
    random: Random = None,
    seed: Seed = 0,
    cifar10: Cifar10 = None,
    data: Data = None,
    tensor: Tensor = None,
    all_tensors: AllTensors = False,
    accumulators: Accumulators = False,
    numerics: NumericsName = "ort",
    kernels: Kernels = "auto",
    threads: Threads = 0,
    batch: Batch = None,
    no_host: NoHost = False,
    shape: Shape = None,
    bias: Bias = "auto",
    json: Json = False,
) -> None:
    """Emulate a model; write its outputs, and chosen tensors by their names in the model file, to an npz file."""
    choice = InputChoice(inputs, random, seed, cifar10, data)
    choice.check()
    check_output(output)
    from q8emu.emulator import Options
    from q8emu.verify import default_inputs, open_model

    emulator = open_model(
        model, Options(numerics, kernels, threads, batch, bias, no_host, accumulators, parse_shapes(shape))
    )
    arrays, source = choice.load(emulator)
    if arrays is None:
        arrays, source = default_inputs(emulator)
    names = chosen_tensors(emulator, split_names(tensor) or (), all_tensors=all_tensors)
    settings = {
        "model": str(emulator.model),
        "inputs": f"{emulator.count(arrays)}, {source}",
        "numerics": numerics,
        "kernels": kernels,
        "threads": str(threads or "one per core"),
        "bias": bias,
        "output": str(output),
    }
    if not json:
        echo_settings("run", settings)
    written = emulate(emulator, arrays, names)
    save(output, written)
    shapes = {name: f"{array.dtype}{list(array.shape)}" for name, array in written.items()}
    if json:
        print_json({"schema": "q8emu.run/1", "settings": settings, "written": shapes})
    else:
        for name, described in shapes.items():
            typer.echo(f"{name} {described}")


def check_output(path: Path, option: str = "--output") -> None:
    """Refuse a place that cannot be written to before anything is computed.

    Raises:
        BadInput: the folder does not exist, or the path is one.
    """
    from q8emu.errors import BadInput

    if path.is_dir() or not path.absolute().parent.is_dir():
        raise BadInput(f"{option}: cannot write '{path}'; expected a file name in an existing folder.")


def chosen_tensors(emulator: Emulator, names: Iterable[str], *, all_tensors: bool) -> list[str]:
    """The tensors to write beside the outputs.

    Raises:
        BadInput: a name that no quantized tensor has; lists near ones.
    """
    from difflib import get_close_matches

    from q8emu.errors import BadInput

    known = [name for name in emulator.program.quantized() if name not in emulator.program.inputs]
    for name in names:
        if name not in known:
            near = ", ".join(f"'{n}'" for n in get_close_matches(name, known, 3, 0.3)) or "none is near"
            raise BadInput(
                f"--tensor: the model has no quantized tensor '{name}'; near names: {near}. See q8emu inspect."
            )
    return known if all_tensors else list(dict.fromkeys(names))


def emulate(emulator: Emulator, inputs: Mapping[str, np.ndarray], names: Collection[str]) -> dict[str, np.ndarray]:
    """Run all inputs; the outputs, the tensors named, and the accumulators in the layout of what each becomes."""
    with progress() as tell:
        trace = emulator.run(inputs, tensors=names, progress=tell)
    found = dict(trace.outputs) | {name: trace.tensors[name] for name in names}
    return found | accumulators_of(emulator.program, trace)


def accumulators_of(program: Program, trace: Trace) -> dict[str, np.ndarray]:
    """The accumulators in the layout of the tensor that each becomes, like everything else in the file."""
    ports = {port.node: port for port in program.ports.values() if port.op}
    found = {}
    for node, array in trace.accumulators.items():
        port = ports.get(node)
        fits = port is not None and port.perm[:1] == (0,) and array.size % port.tensor.elements == 0
        found[f"accumulator:{node}"] = port.load(array) if port is not None and fits else array
    return found


def save(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write an npz file under exactly this name.

    Raises:
        BadInput: the file cannot be written.
    """
    import numpy as np

    from q8emu.errors import BadInput

    try:
        with path.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
    except OSError as problem:
        raise BadInput(f"--output: cannot write '{path}' ({problem.strerror}).") from problem
