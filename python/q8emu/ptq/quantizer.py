# SPDX-License-Identifier: Apache-2.0
"""How well data fit the first quantizer of a model: what is clipped, and how many of its codes occur."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from q8emu.emulator import Emulator, Options
from q8emu.errors import Q8Error
from q8emu.graph import QUANTIZED_DTYPES, Graph, QuantParams
from q8emu.ptq.model_file import input_shapes

MOST_CLIPPED = 0.01
"""Share of clipped values from which on the data are called too wide for the quantizer."""
FEWEST_CODES = 0.25
"""Share of the codes that the data could occupy below which they are called too narrow."""
_MOVES = ("Flatten", "Reshape", "Transpose")


@dataclass(frozen=True)
class FirstQuantizer:
    """The first quantizer of a model, and what some data do to it.

    Attributes:
        tensor: that it makes; the model's input where that is quantized already.
        dtype: of its codes.
        low: smallest real value that it represents.
        high: largest.
        data_low: smallest value of the data, as the model takes them.
        data_high: largest.
        inside: is it in the model? Else the data come as codes, and what was clipped on the way is not known.
        values: how many were quantized.
        clipped: how many of them were beyond low or high by more than a rounding.
        used: codes that occur.
        possible: codes that could: at most as many as the data have different values.
    """

    tensor: str
    dtype: str
    low: float
    high: float
    data_low: float
    data_high: float
    inside: bool
    values: int
    clipped: int
    used: int
    possible: int

    @property
    def clip_rate(self) -> float:
        """clipped / values."""
        return self.clipped / self.values

    @property
    def is_too_wide(self) -> bool:
        """Do more values clip than the bound?"""
        return self.clip_rate > MOST_CLIPPED

    @property
    def is_too_narrow(self) -> bool:
        """Do the data occupy fewer codes than the bound?"""
        return self.used < FEWEST_CODES * self.possible

    @property
    def levels(self) -> int:
        """How many codes there are."""
        limits = np.iinfo(self.dtype)
        return int(limits.max) - int(limits.min) + 1

    def __str__(self) -> str:
        codes = f"{self.used:,} of {self.levels:,} codes used"
        if not self.inside:
            return f"none in the model, '{self.tensor}' takes {self.dtype}: {codes}"
        shown = f"{self.dtype} of {self.low:.4g} to {self.high:.4g}"
        return f"'{self.tensor}', {shown}: clipped {100 * self.clip_rate:.2f} %, {codes}"

    @property
    def data(self) -> str:
        """The range of the data, in words."""
        return f"{self.data_low:.4g} to {self.data_high:.4g}"

    def to_json(self) -> dict[str, Any]:
        """Plain values for json.dumps."""
        return asdict(self) | {"clip_rate": self.clip_rate}


def measure(model: Path, parts: Iterable[np.ndarray]) -> FirstQuantizer | None:
    """Quantize data as the model's first quantizer does, and count; None where q8emu finds none.

    q = rint(x / scale) + zero_point, clipped to the codes

    Args:
        model: the file.
        parts: the data, as the model takes them.
    """
    found = _find(model)
    if found is None:
        return None
    tensor, params, inside = found
    limits = np.iinfo(params.dtype)
    scale, zero_point = np.float32(params.scale[0]), params.zero_point[0]
    seen = np.zeros(int(limits.max) - int(limits.min) + 1, bool)
    values = clipped = distinct = 0
    least, most = np.inf, -np.inf
    for part in parts:
        codes, beyond = _codes(part, scale, zero_point, limits) if inside else (part.astype(np.int32), 0)
        seen |= np.bincount(codes.ravel() - int(limits.min), minlength=len(seen)) > 0
        distinct = distinct or len(np.unique(part))  # of the first part: enough to see how fine the data are
        least, most = min(least, float(part.min())), max(most, float(part.max()))
        values, clipped = values + part.size, clipped + beyond
    low, high = ((int(limit) - zero_point) * float(scale) for limit in (limits.min, limits.max))
    possible = len(seen) if not inside else min(len(seen), distinct)
    used = int(seen.sum())
    return FirstQuantizer(tensor, params.dtype, low, high, least, most, inside, values, clipped, used, possible)


def _codes(part: np.ndarray, scale: np.float32, zero_point: int, limits: np.iinfo[Any]) -> tuple[np.ndarray, int]:
    with np.errstate(all="ignore"):
        exact = np.nan_to_num(np.rint(part.astype(np.float32) / scale)) + zero_point
    kept = np.clip(exact, limits.min, limits.max)
    return kept.astype(np.int32), int((kept != exact).sum())


def _find(model: Path) -> tuple[str, QuantParams, bool] | None:
    """Tensor and parameters of the first quantizer, and whether it is in the model."""
    try:
        graph = Emulator(model, Options(shapes=input_shapes(model))).graph
    except Q8Error:
        return None
    return next(_quantizers(graph, graph.inputs[0]), None) if graph.inputs else None


def _quantizers(graph: Graph, name: str) -> Iterator[tuple[str, QuantParams, bool]]:
    reached = {name}
    is_code = graph.tensors[name].dtype in QUANTIZED_DTYPES
    for node in graph.nodes:
        if node.input(0) not in reached:
            continue
        if is_code and node.in_quant and node.in_quant[0] is not None:
            yield name, node.in_quant[0], False
        elif node.op == "QuantizeLinear" and node.out_quant and node.out_quant[0] is not None:
            yield node.outputs[0], node.out_quant[0], True
        elif node.op in _MOVES:
            reached.update(node.outputs)
