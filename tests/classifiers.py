# SPDX-License-Identifier: Apache-2.0
"""Images of ten made classes, and a small quantized model that knows them. No tests here."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from small_models import Model

CLASSES = 10


def templates() -> np.ndarray:
    """One image per class, uint8[10, 3, 32, 32], unlike the others in any order of the axes; green is constant."""
    made = np.random.default_rng(1).choice(np.array([100, 180], np.uint8), (CLASSES, 3, 32, 32))
    made[:, 1] = 140
    return made


def made_images(count: int, seed: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Templates under noise uint8[count, 3, 32, 32], and their classes."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, CLASSES, count)
    noise = generator.normal(0, 20, (count, 3, 32, 32))
    return np.clip(templates()[labels] + noise, 0, 255).astype(np.uint8), labels


def matched_filter(path: Path, highest: float = 255.0) -> Path:
    """A QDQ model x[N, 3, 32, 32] → y[N, 10], calibrated for pixels 0 to `highest`: one product with the templates."""
    model = Model()
    model.point = np.array(0, np.uint8)
    x_scale, w_scale = highest / 255, 1 / highest
    x = model.quantize("x", "x_q", x_scale)
    filters = templates().reshape(CLASSES, -1).astype(np.float64)
    weights = np.rint((filters - filters.mean(1, keepdims=True)) / 2).astype(np.int8)
    operands = [
        model.constant("w", weights),
        model.constant("ws", np.array(w_scale, np.float32)),
        model.constant("wz", np.array(0, np.int8)),
    ]
    model.add("DequantizeLinear", operands, "w_dq")
    flat = model.add("Flatten", [x], "flat", axis=1)
    scores = model.add("Gemm", [flat, "w_dq"], "scores", transB=1)
    model.point = np.array(128, np.uint8)
    model.quantize(scores, "scores_q", 600.0)
    model.nodes[-1].output[0] = "y"
    return model.save(path, ["N", 3, 32, 32], ["N", CLASSES])
