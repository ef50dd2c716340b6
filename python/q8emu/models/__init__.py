# SPDX-License-Identifier: Apache-2.0
"""The packaged default model, an int8 ResNet8 for CIFAR-10 trained by the project, and a small input for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent
MODEL_FILE, INPUTS_FILE = "resnet8_int8_qdq.onnx", "resnet8_inputs.npz"


def default_model() -> Path:
    """The packaged ResNet8: int8 activations and weights, QDQ, weights per channel."""
    return FOLDER / MODEL_FILE


def default_inputs() -> dict[str, np.ndarray]:
    """The packaged input: 8 synthetic images, image float32[8, 3, 32, 32] with whole values 0..255."""
    with np.load(FOLDER / INPUTS_FILE, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


__all__ = ["default_inputs", "default_model"]
