# SPDX-License-Identifier: Apache-2.0
"""A float PyTorch file becomes a quantized TorchScript file, compared with PyTorch's engine before it is kept."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from q8emu.backends import BACKENDS
from q8emu.backends.torch import Torch
from q8emu.datasets import pixels
from q8emu.emulator import Emulator, Options
from q8emu.errors import ConversionFailed
from q8emu.files import check_target, replacing
from q8emu.numerics import PROFILES
from q8emu.ptq.quantize_onnx import CHECKED, SCHEMA, Progress
from q8emu.ptq.quantize_torch import quantize_torch
from q8emu.verify import compare


@dataclass(frozen=True)
class Written:
    """What was written.

    Attributes:
        model: the float model.
        output: the quantized TorchScript file.
        sha256: of its bytes.
        bytes: of the float model and of the quantized one.
        settings: the backend.
        samples: images that it was calibrated on.
        modules: how many quantized modules of each kind it has.
        verified: what the comparison with the engine on calibration images found.
        notes: sentences about the model.
    """

    model: str
    output: str
    sha256: str
    bytes: tuple[int, int]
    settings: Mapping[str, Any]
    samples: int
    modules: Mapping[str, int]
    verified: str
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values for json.dumps; the schema carries a version."""
        return {"schema": SCHEMA, **asdict(self)}


def quantize_pytorch(
    model: Path,
    output: Path,
    images: np.ndarray,
    backend: str = "fbgemm",
    *,
    trust: bool = False,
    force: bool = False,
    progress: Progress | None = None,
) -> Written:
    """Quantize a float .pt file by FX, compare q8emu with the engine on calibration images, write it.

    Args:
        model: the .pt file.
        output: path of the .pt file.
        images: uint8[N, 3, 32, 32] to calibrate on.
        backend: see `quantize_torch`.
        trust: unpickle a foreign module, which runs its code?
        force: replace a file that is there?
        progress: told (done, total, what).

    Raises:
        Q8Error: what `quantize_torch` raises; or the emulation differs from the engine, and nothing is written.
    """
    check_target(output, (".pt",), force=force)
    with replacing(output) as written:
        done = quantize_torch(model, written, backend=backend, images=images, trust=trust, progress=progress)
        verified = _verify(written, backend, images[:CHECKED])
        digest = hashlib.sha256(written.read_bytes()).hexdigest()
        size = written.stat().st_size
    sizes = model.stat().st_size, size
    settings = {"backend": backend}
    return Written(
        str(model), str(output), digest, sizes, settings, done.samples, dict(done.modules), verified, done.notes
    )


def _verify(written: Path, backend: str, images: np.ndarray) -> str:
    oracles = {n: o for n, o in BACKENDS.items() if isinstance(o, Torch) and o.engine == backend and n in PROFILES}
    reasons = {name: oracle.why_unavailable() for name, oracle in oracles.items()}
    name = next((name for name, reason in reasons.items() if reason is None), "")
    if not name:
        why = (
            next(iter(reasons.values()), None) or f"q8emu has no profile that promises the bits of the engine {backend}"
        )
        return f"not compared: {why}"
    emulator = Emulator(written, Options(name))
    spec = emulator.specs[0]
    inputs = {spec.name: pixels.as_input(images, spec.dtype, pixels.layout_of(spec.shape) or "NCHW")}
    report = compare(emulator, inputs, against=[name])
    if report.exit_code != 0:
        told = report.reason if report.exit_code == 2 else report.oracles[0].sentence
        raise ConversionFailed(
            f"q8emu and the oracle '{name}' do not agree on the quantized model, so it was not written: {told}"
        )
    return f"{name}: {report.oracles[0].verdict}. {report.oracles[0].sentence}"
