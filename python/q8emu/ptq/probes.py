# SPDX-License-Identifier: Apache-2.0
"""Mistakes that a pipeline in front of a model may make, each as the change of the data that would undo it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

Undo = Callable[[np.ndarray], np.ndarray]
RANGES = {"0..255": (255.0, 0.0), "0..1": (1.0, 0.0), "-1..1": (2.0, -1.0)}
"""What float pixels are scaled to: width and least value."""


@dataclass(frozen=True)
class Probe:
    """One change of the data.

    Attributes:
        name: what kind of mistake it undoes: "range", "layout", "channels", "axes" or "sign"; several with "+".
        tells: the mistake, in words that follow "the data look as if".
        undo: inputs [N, …] become other inputs of the same shape and dtype.
    """

    name: str
    tells: str
    undo: Undo


def single_probes(inputs: np.ndarray) -> list[Probe]:
    """The changes that fit the dtype and the shape of inputs [N, …]."""
    return [probe for kind in _kinds(inputs) for probe in kind]


def combined_probes(inputs: np.ndarray) -> Iterator[Probe]:
    """Two or more changes at once, fewer first, at most one of each kind."""
    kinds: Sequence[Sequence[Probe | None]] = [[None, *kind] for kind in _kinds(inputs)]
    chosen = [[probe for probe in row if probe is not None] for row in product(*kinds)]
    for probes in sorted((row for row in chosen if len(row) > 1), key=len):
        yield Probe("+".join(p.name for p in probes), " and ".join(p.tells for p in probes), _after(probes))


def _after(probes: Sequence[Probe]) -> Undo:
    def undo(inputs: np.ndarray) -> np.ndarray:
        for probe in probes:
            inputs = probe.undo(inputs)
        return inputs

    return undo


def _kinds(inputs: np.ndarray) -> list[list[Probe]]:
    return [kind for kind in (_ranges(inputs), _signs(inputs), *_images(inputs)) if kind]


def _ranges(inputs: np.ndarray) -> list[Probe]:
    """Float pixels scaled to another range than the model takes."""
    if inputs.dtype.kind != "f" or not inputs.size:
        return []
    given = "-1..1" if inputs.min() < -0.01 else "0..1" if inputs.max() <= 1.01 else "0..255"
    return [
        Probe("range", f"the pixels are {given} and the model takes {wanted}", _rescale(RANGES[given], RANGES[wanted]))
        for wanted in RANGES
        if wanted != given
    ]


def _rescale(given: tuple[float, float], wanted: tuple[float, float]) -> Undo:
    """X = (x - given least) · wanted width / given width + wanted least."""
    factor = wanted[0] / given[0]
    return lambda x: ((x - x.dtype.type(given[1])) * x.dtype.type(factor) + x.dtype.type(wanted[1])).astype(x.dtype)


def _signs(inputs: np.ndarray) -> list[Probe]:
    """int8 that is pixel bytes read as signed, where pixel - 128 was meant; or the reverse for uint8."""
    if inputs.dtype.name not in ("int8", "uint8"):
        return []
    is_signed = inputs.dtype.name == "int8"
    told = "the int8 values are the bytes of the pixels, not pixel - 128" if is_signed else "the bytes are pixel - 128"
    return [Probe("sign", told, lambda x: (x.view(np.uint8) ^ np.uint8(128)).view(x.dtype))]


def _images(inputs: np.ndarray) -> list[list[Probe]]:
    """Images whose axes or channels are in another order."""
    shape = inputs.shape[1:]
    if len(shape) != 3 or 3 not in (shape[0], shape[2]):
        return []
    is_nchw = shape[0] == 3
    axis = 1 if is_nchw else 3
    layout = Probe(
        "layout",
        f"the {'NCHW' if is_nchw else 'NHWC'} shape holds {'NHWC' if is_nchw else 'NCHW'} data (reshape where a "
        "transpose was meant)",
        _other_layout(is_nchw=is_nchw),
    )
    channels = Probe(
        "channels", "the channels are in the order BGR for RGB, or the reverse", lambda x: np.flip(x, axis)
    )
    found = [[layout], [channels]]
    rows, columns = (2, 3) if is_nchw else (1, 2)
    if inputs.shape[rows] == inputs.shape[columns]:
        found.append([Probe("axes", "rows and columns are swapped", lambda x: np.swapaxes(x, rows, columns))])
    return found


def _other_layout(*, is_nchw: bool) -> Undo:
    def undo(x: np.ndarray) -> np.ndarray:
        if is_nchw:
            n, c, h, w = x.shape
            return np.ascontiguousarray(x).reshape(n, h, w, c).transpose(0, 3, 1, 2)
        n, h, w, c = x.shape
        return np.ascontiguousarray(x).reshape(n, c, h, w).transpose(0, 2, 3, 1)

    return undo
