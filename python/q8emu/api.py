# SPDX-License-Identifier: Apache-2.0
"""The functions behind the public names of the package that belong to no single stage."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from importlib import metadata
from pathlib import Path

import numpy as np

from q8emu.emulator import Emulator, Options
from q8emu.inspect import Inspection
from q8emu.inspect import inspect as look
from q8emu.trace import Trace
from q8emu.verify import default_inputs, open_model

RUNTIMES = ("numpy", "onnx", "onnxruntime")


def load(
    model: Path | str | None = None,
    *,
    numerics: str = "ort",
    kernels: str = "auto",
    threads: int = 0,
    batch: int | None = None,
    bias: str = "auto",
    no_host: bool = False,
    accumulators: bool = False,
) -> Emulator:
    """Open a model file for emulation.

    Args:
        model: path of an .onnx or .tflite file; without it the packaged ResNet8.
        numerics: name of the profile, see `PROFILES`.
        kernels: "auto", "reference", "spec" or the name of an ISA.
        threads: 0 is one per core.
        batch: inputs per run where the file leaves the batch open; by default up to 32.
        bias: how a bias whose scale is not x_scale * w_scale is read: "auto", "as-is" or "rescaled".
        no_host: refuse models with operators that stay in float?
        accumulators: record the int32 accumulators too?

    Raises:
        Q8Error: one sentence why the model or an option cannot be used.
    """
    return open_model(model, Options(numerics, kernels, threads, batch, bias, no_host, accumulators))


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
    parts = [_kept(part.run(), tensors) for part in emulator.batches(given)]
    first = parts[0]
    return Trace(
        first.source,
        _joined([part.tensors for part in parts]),
        _joined([part.outputs for part in parts]),
        _joined([part.accumulators for part in parts]),
        first.provenance,
    )


def inspect(model: Emulator | Path | str | None = None) -> Inspection:
    """The nodes of a model with quantization parameters, the steps they lower to, and what stays in float.

    Args:
        model: what `load` returned, or a path; without it the packaged ResNet8.

    Raises:
        Q8Error: one sentence why the model cannot be used.

    Example:
        >>> inspect().coverage["integer"] > 0
        True
    """
    return look(model if isinstance(model, Emulator) else load(model))


def build_info() -> dict[str, str | list[str]]:
    """How the core was built, which ISAs and kernels it has and runs, and the versions of the packages beside it.

    Example:
        >>> sorted(build_info())[:4]
        ['build_type', 'compiler', 'flags', 'isa_active']
    """
    from q8emu import _core

    return dict(_core.build_info()) | {name: metadata.version(name) for name in RUNTIMES}


def _kept(trace: Trace, names: Collection[str] | None) -> Trace:
    if names is None:
        return trace
    chosen = {name: trace.tensors[name] for name in trace.tensors if name in names}
    return Trace(trace.source, chosen, trace.outputs, trace.accumulators, trace.provenance)


def _joined(parts: list[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([np.atleast_1d(part[name]) for part in parts]) for name in parts[0]}
