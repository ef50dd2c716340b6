# SPDX-License-Identifier: Apache-2.0
"""The training script of the default model: one step on a little synthetic data writes weights and a log."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np

SCRIPT = Path(__file__).parent.parent / "golden" / "resnet8" / "train.py"
NAMES = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
IMAGES = 4  # in each file


def write_data(folder: Path, rng: np.random.Generator) -> None:
    """Files in the layout of CIFAR-10: one label byte and 3072 bytes of pixels per image."""
    for name in NAMES:
        rows = rng.integers(0, 256, (IMAGES, 3073), np.uint8)
        rows[:, 0] %= 10
        rows.tofile(folder / name)


def train(folder: Path, out: Path) -> dict[str, object]:
    """One epoch of one batch."""
    out.mkdir()
    options = {"data": folder, "out": out, "epochs": 1, "batch": 5 * IMAGES, "threads": 1}
    arguments = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    done = subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    log: dict[str, object] = json.loads((out / "train_log.json").read_text())
    return log


def test_one_step_writes_weights_and_a_log(
    package: Callable[[str, str], ModuleType], rng: np.random.Generator, tmp_path: Path
) -> None:
    package("torch", "torch")
    write_data(tmp_path, rng)
    log = train(tmp_path, tmp_path / "first")
    with np.load(tmp_path / "first" / "weights.npz") as weights:
        arrays = {name: weights[name] for name in weights.files}
    committed = np.load(SCRIPT.parent / "weights.npz")
    assert {n: a.shape for n, a in arrays.items()} == {n: committed[n].shape for n in committed.files}
    assert all(array.dtype == np.float32 and np.isfinite(array).all() for array in arrays.values())
    joined = b"".join(arrays[name].tobytes() for name in sorted(arrays))
    assert log["weights_sha256"] == hashlib.sha256(joined).hexdigest()
    assert train(tmp_path, tmp_path / "second")["weights_sha256"] == log["weights_sha256"]
