# SPDX-License-Identifier: Apache-2.0
"""The functions behind the public names of the package that belong to no single stage."""

from __future__ import annotations

import atexit
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np

from q8emu.backends.torch import save_traced
from q8emu.emulator import Emulator, Options
from q8emu.inspect import Inspection, inspect_file
from q8emu.inspect import inspect as look
from q8emu.trace import Trace
from q8emu.verify import default_inputs, open_model

RUNTIMES = ("numpy", "onnx", "onnxruntime")


def load(
    model: Path | str | Callable[..., Any] | None = None,
    *,
    numerics: str = "ort",
    kernels: str = "auto",
    threads: int = 0,
    batch: int | None = None,
    bias: str = "auto",
    no_host: bool = False,
    accumulators: bool = False,
    shapes: Mapping[str, Sequence[int]] | None = None,
    example: Sequence[Any] = (),
) -> Emulator:
    """Open a model for emulation.

    Args:
        model: path of an .onnx, .tflite or TorchScript file, or a quantized PyTorch module, which is traced on
            `example` under PyTorch's engine at hand; without it the packaged ResNet8.
        numerics: name of the profile, see `PROFILES`.
        kernels: "auto", "reference", "spec" or the name of an ISA.
        threads: 0 is one per core.
        batch: inputs per run where the file leaves the batch open; by default up to 32.
        bias: how a bias whose scale is not x_scale * w_scale is read: "auto", "as-is" or "rescaled".
        no_host: refuse models with operators that stay in float?
        accumulators: record the int32 accumulators too?
        shapes: of the inputs by name, for PyTorch files that do not keep the example they were traced with.
        example: tensors to trace a PyTorch module on.

    Raises:
        Q8Error: one sentence why the model or an option cannot be used.
    """
    options = Options(numerics, kernels, threads, batch, bias, no_host, accumulators, shapes or {})
    if model is None or isinstance(model, (str, Path)):
        return open_model(model, options)
    folder = Path(mkdtemp(prefix="q8emu-"))  # the emulator reads the file again for other batches, an oracle runs it
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return open_model(save_traced(model, example, folder / "traced.pt"), options)


def run(
    model: Emulator | Path | str | None = None,
    inputs: Mapping[str, np.ndarray] | None = None,
    *,
    tensors: Collection[str] | None = None,
) -> Trace:
    """Emulate a model on any number of inputs.

    Args:
        model: what `load` returned, or a path; without it the packaged ResNet8.
        inputs: arrays by input name, axis 0 as long as there are samples; without them the packaged or random ones.
        tensors: names of the quantized tensors to keep; without it all of them.

    Returns:
        Outputs and tensors of all inputs, joined along axis 0.

    Raises:
        Q8Error: one sentence why the model or the inputs cannot be used.

    Example:
        >>> trace = run()
        >>> {name: array.shape for name, array in trace.outputs.items()}
        {'probabilities': (8, 10)}
    """
    emulator = model if isinstance(model, Emulator) else load(model)
    given = default_inputs(emulator)[0] if inputs is None else inputs
    return emulator.run(given, tensors=tensors)


def inspect(model: Emulator | Path | str | None = None) -> Inspection:
    """The nodes of a model with quantization parameters, the steps they lower to, and what stays in float.

    Also the nodes of the file, each parameter with where it lives; of a float model there is nothing else.

    Args:
        model: what `load` returned, or a path; without it the packaged ResNet8.

    Raises:
        Q8Error: one sentence why the model cannot be used.

    Example:
        >>> inspect().coverage["integer"] > 0
        True
    """
    if isinstance(model, Emulator):
        return look(model)
    from q8emu import models

    return inspect_file(Path(model) if model is not None else models.default_model(), Options())


def build_info() -> dict[str, str | list[str]]:
    """How the core was built, which ISAs and kernels it has and runs, and the versions of the packages beside it.

    Example:
        >>> sorted(build_info())[:4]
        ['build_type', 'compiler', 'flags', 'isa_active']
    """
    from q8emu import _core

    return dict(_core.build_info()) | {name: metadata.version(name) for name in RUNTIMES}
