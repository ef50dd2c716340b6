# SPDX-License-Identifier: Apache-2.0
"""Images as a model takes them: the one preprocessing, shared by calibration, evaluation and verification."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

Layout = Literal["NCHW", "NHWC"]
DTYPES = ("float32", "int8", "uint8")


def layout_of(shape: Sequence[int], image: Sequence[int] = (3, 32, 32)) -> Layout | None:
    """Where the channels of an input are: [N, C, H, W] is NCHW, [N, H, W, C] is NHWC, anything else None.

    Args:
        shape: of the input, axis 0 the batch.
        image: channels, height and width.

    Example:
        >>> layout_of([1, 32, 32, 3])
        'NHWC'
    """
    channels, height, width = image
    if tuple(shape[1:]) == (channels, height, width):
        return "NCHW"
    return "NHWC" if tuple(shape[1:]) == (height, width, channels) else None


def as_input(images: np.ndarray, dtype: str, layout: Layout) -> np.ndarray:
    """Pixels become a model's input: raw 0..255 as float32 or uint8, pixel - 128 as int8; no normalization.

    Args:
        images: uint8[N, C, H, W].
        dtype: one of DTYPES.
        layout: of the result.

    Returns:
        dtype[N, C, H, W] or dtype[N, H, W, C], a new C-contiguous array.

    Example:
        >>> import numpy as np
        >>> as_input(np.full((1, 3, 32, 32), 130, np.uint8), "int8", "NHWC")[0, 0, 0].tolist()
        [2, 2, 2]
    """
    assert dtype in DTYPES, dtype
    pixels = images if layout == "NCHW" else images.transpose(0, 2, 3, 1)
    made = (pixels ^ np.uint8(128)).view(np.int8) if dtype == "int8" else pixels.astype(dtype)
    result: np.ndarray = np.array(made, order="C")
    return result
