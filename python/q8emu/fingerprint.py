# SPDX-License-Identifier: Apache-2.0
"""What a verdict depends on: versions, kernels, CPU, and hashes of the model, the inputs and the program."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path

import numpy as np

from q8emu.backends.cpu import this_cpu
from q8emu.emulator import Emulator


def fingerprint(emulator: Emulator, inputs: Mapping[str, np.ndarray]) -> dict[str, str]:
    """One line per fact, in the order in which a report shows them."""
    runner = emulator.runner
    return {
        "q8emu": f"{version()}, {build()}",
        "kernels": f"{runner.isa}: {', '.join(dict.fromkeys(runner.kernels))}",
        "python": f"{platform.python_version()}, {', '.join(packages())}",
        "cpu": this_cpu().describe(),
        "platform": platform.platform(),
        "model sha256": model_sha256(emulator.model),
        "input sha256": inputs_sha256(inputs),
        "numerics sha256": emulator.numerics.digest,
        "program sha256": emulator.program.digest,
    }


@cache
def version() -> str:
    """The installed version of q8emu."""
    try:
        return metadata.version("q8emu")
    except metadata.PackageNotFoundError:
        return "not installed"


def model_sha256(model: Path) -> str:
    """SHA-256 of the model file."""
    with model.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def inputs_sha256(inputs: Mapping[str, np.ndarray]) -> str:
    """SHA-256 over names, dtypes, shapes and bytes, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(inputs):
        array = np.ascontiguousarray(inputs[name])
        digest.update(f"{name}\0{array.dtype.str}\0{array.shape}\0".encode())
        digest.update(array.reshape(-1).view(np.uint8).data if array.size else b"")
    return digest.hexdigest()


@cache
def packages() -> tuple[str, ...]:
    """The versions of the runtimes that are installed."""
    found = []
    for name in ("numpy", "onnx", "onnxruntime", "ai-edge-litert", "tflite-micro"):
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            found.append(f"{name} not installed")
    return tuple(found)


def build() -> str:
    """How the extension was built."""
    try:
        from q8emu import _core
    except ImportError:  # the spec runs without it
        return "without the extension"
    info = _core.build_info()
    return ", ".join(f"{key} {_text(info[key])}" for key in ("compiler", "build_type", "flags", "isas_supported"))


def _text(value: str | list[str]) -> str:
    return value if isinstance(value, str) else " ".join(value)
