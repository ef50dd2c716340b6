# SPDX-License-Identifier: Apache-2.0
"""Two float models side by side on the same inputs: the check behind every conversion of one.

Float sums depend on their order, so two runtimes differ in the last bits. The largest difference is reported; a
conversion is kept below BOUND of the largest magnitude, far above rounding and far below a wrong weight.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from q8emu.errors import BadModel, ConversionFailed

if TYPE_CHECKING:
    import onnx

BOUND = 1e-4
SAMPLES = 4


def float_inputs(shapes: Mapping[str, Sequence[int | None]], samples: int = SAMPLES) -> dict[str, np.ndarray]:
    """Random inputs float32, every other sample 0..1 and 0..255; axis 0 has `samples` where it is open.

    Example:
        >>> {name: array.shape for name, array in float_inputs({"x": (None, 8, 8, 3)}).items()}
        {'x': (4, 8, 8, 3)}
    """
    rng = np.random.default_rng(0)
    made = {}
    for name, shape in shapes.items():
        sizes = [size or (samples if axis == 0 else 1) for axis, size in enumerate(shape)]
        values = rng.random(sizes, np.float32)
        if values.ndim:
            values[1::2] *= 255
        made[name] = values
    return made


def onnx_outputs(model: onnx.ModelProto, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What ONNX Runtime computes with a float model, by output name.

    Raises:
        BadModel: it refuses the model.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    try:
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        found = session.run(None, dict(feeds))
    except Exception as problem:  # its errors have no common class
        raise BadModel(f"ONNX Runtime refuses the model: {' '.join(str(problem).split())[:300]}") from problem
    return dict(zip([output.name for output in session.get_outputs()], found, strict=True))


def largest_difference(expected: Sequence[np.ndarray], found: Mapping[str, np.ndarray]) -> tuple[int, float]:
    """How many numbers were compared, and the largest absolute difference.

    Args:
        expected: one array per output.
        found: by output name, in the same order.

    Raises:
        ConversionFailed: a shape is another one, or a difference is not below BOUND of the largest magnitude.
    """
    count, largest = 0, 0.0
    for reference, (name, array) in zip(expected, found.items(), strict=True):
        if reference.shape != array.shape:
            raise ConversionFailed(
                f"The new model gives '{name}' of shape {list(array.shape)}; expected {list(reference.shape)}. "
                "Nothing was written; please report it with the model."
            )
        apart = float(np.abs(reference - array).max(initial=0.0))
        bound = BOUND * max(float(np.abs(reference).max(initial=0.0)), 1.0)
        if not apart < bound:
            raise ConversionFailed(
                f"The new model gives '{name}' with a difference of {apart:.3g}, expected below {bound:.3g}. "
                "Nothing was written; please report it with the model."
            )
        count, largest = count + array.size, max(largest, apart)
    return count, largest
