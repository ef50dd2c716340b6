# SPDX-License-Identifier: Apache-2.0
"""The project's ResNet8 on real images: every quantized tensor and every output equal to ONNX Runtime's.

The normal run takes 50 images of each of the eight quantizations; Q8EMU_IMAGES=10000 (nox -s conformance_resnet8) takes
the whole test set. Other oracles are reported by the slow session, not asserted: their float nodes promise nothing.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from q8emu.verify import verify

IMAGES = int(os.environ.get("Q8EMU_IMAGES", "50"))
MODELS = sorted((Path(__file__).parent.parent / "golden" / "models").glob("resnet8_*.onnx"))
Images = tuple[np.ndarray, np.ndarray]


def test_there_are_eight_models() -> None:
    """int8 and uint8, QDQ and QOperator, per tensor and per channel."""
    names = {m.stem for m in MODELS}
    expected = {
        f"resnet8_{dtype}_{form}_{scales}"
        for dtype in ("int8", "uint8")
        for form in ("qdq", "qoperator")
        for scales in ("tensor", "channel")
    }
    assert names == expected


@pytest.mark.parametrize("model", MODELS, ids=lambda m: m.stem)
def test_every_tensor_equals_onnx_runtime(model: Path, cifar10_test: Images) -> None:
    """Zero differing elements in every quantized tensor and every output against the oracle `ort`."""
    images = cifar10_test[0][:IMAGES].astype(np.float32)
    report = verify(model, {"image": images}, against=("ort",), inputs_from=f"{len(images)} CIFAR-10 test images")
    (oracle,) = report.oracles
    assert oracle.verdict == "exact", oracle.sentence
    assert oracle.samples == len(images)
    assert all(row.elements > 0 and row.differing == 0 for row in (*oracle.tensors, *oracle.outputs))
    print(f"{model.stem}: {sum(row.elements for row in oracle.tensors):,} elements of {len(oracle.tensors)} tensors")
