# SPDX-License-Identifier: Apache-2.0
"""Calibration: the float model runs on samples, and each tensor gets the range that a quantizer will cover.

The ranges are text, the calibration cache of ONNX Runtime; what is quantized later depends on them and on nothing else.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod
from onnxruntime.quantization.calibrate import create_calibrator, save_tensors_data

METHODS = {
    "entropy": CalibrationMethod.Entropy,
    "minmax": CalibrationMethod.MinMax,
    "percentile": CalibrationMethod.Percentile,
}
"""How a range is chosen: the threshold whose quantized histogram diverges least, the extremes, or a percentile."""
PERCENTILE = 99.999
"""Percent of the values of a tensor that its range covers, ONNX Runtime's own default."""
BATCH = 50  # samples per run where the model leaves the batch open
ENDS = "lowest", "highest"
HISTOGRAM_BINS = 512
"""Of "entropy". ONNX Runtime's own default is 128, as many as quantized bins, which leaves one threshold to try."""

Batch = Mapping[str, np.ndarray]


def tensor_ranges(
    model: onnx.ModelProto,
    batches: Iterator[Batch],
    operators: Sequence[str],
    *,
    method: str = "minmax",
    percentile: float = PERCENTILE,
) -> str:
    """The range of every float tensor that an operator reads or writes.

    Args:
        model: in float.
        batches: inputs by name, one run each, in a fixed order: a histogram takes the width of its bins from the first.
        operators: the ONNX operators that will be quantized.
        method: one of METHODS.
        percentile: for the method "percentile", above 50 and up to 100.

    Returns:
        The text of a calibration cache, keys sorted: for each tensor its lowest and highest value, float32.
    """
    options = {"entropy": {"num_bins": HISTOGRAM_BINS}, "percentile": {"percentile": percentile}}.get(method, {})
    with tempfile.TemporaryDirectory() as folder, quietly():
        source, cache, augmented = (Path(folder, n) for n in ("float.onnx", "ranges.json", "augmented.onnx"))
        onnx.save(model, source)
        calibrator = create_calibrator(
            source, list(operators), str(augmented), calibrate_method=METHODS[method], extra_options=options
        )
        for batch in batches:
            calibrator.collect_data(_Reader(batch))
        save_tensors_data(calibrator.compute_data(), cache)
        found = json.loads(cache.read_text())
    found["data"] = {name: _ends(tensor) for name, tensor in found["data"].items()}
    return json.dumps(found, indent=1, sort_keys=True) + "\n"


def _ends(tensor: Mapping[str, Any]) -> dict[str, Any]:
    """Lowest and highest as float32[1]; the histograms write plain numbers, and the bins too."""
    found: dict[str, Any] = {"CLS": tensor["CLS"]}
    for end in ENDS:
        value = tensor[end]["data"] if isinstance(tensor[end], dict) else tensor[end]
        found[end] = {"CLS": "numpy.array", "data": np.ravel(value).tolist(), "dtype": "float32"}
    return found


def range_of(ranges: str) -> dict[str, tuple[float, float]]:
    """Lowest and highest value of each tensor, float32 values, widened to hold 0 as a quantizer does."""
    found = {}
    for name, tensor in json.loads(ranges)["data"].items():
        low, high = (float(tensor[end]["data"][0]) for end in ENDS)
        found[name] = min(low, 0.0), max(high, 0.0)
    return found


def with_ranges(ranges: str, changed: Mapping[str, tuple[float, float]]) -> str:
    """The cache with other ranges for some tensors."""
    found: dict[str, Any] = json.loads(ranges)
    for name, ends in changed.items():
        for end, value in zip(ENDS, ends, strict=True):
            found["data"][name][end]["data"] = [value]
    return json.dumps(found, indent=1, sort_keys=True) + "\n"


def cut(inputs: Mapping[str, np.ndarray], size: int) -> Iterator[Batch]:
    """The inputs in runs of `size` samples, in their order."""
    total = len(next(iter(inputs.values())))
    for start in range(0, total, size):
        yield {name: array[start : start + size] for name, array in inputs.items()}


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """The quantizer recommends other formats on every call as warnings, and its calibrators print what they do."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        root.setLevel(before)


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """Hands out one batch; what was seen is merged after each, so memory does not grow with the samples."""

    def __init__(self, batch: Batch) -> None:
        self.left = [dict(batch)]

    def get_next(self) -> dict[str, np.ndarray] | None:
        return self.left.pop() if self.left else None
