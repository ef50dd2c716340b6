# SPDX-License-Identifier: Apache-2.0
"""What a run leaves behind: tensors by their names in the model file, in graph order, and where they came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Trace:
    """Recorded tensors of one run, in the layout of the model file; axis 0 of each is the batch.

    Attributes:
        source: who computed it ("q8emu", "ort", ...).
        tensors: every recorded quantized tensor.
        outputs: the final outputs of the model.
        accumulators: int32 accumulators by node name, when asked for.
        provenance: versions, settings and hashes that the report prints.
        float_nodes: for an oracle, the tensors that it computed in float, mapped to the operator that did it.
        unordered: for an oracle, operators that it sums in float in an order of its own, which no profile reproduces.
        undisturbed: for an oracle, None, or why the tapped run cannot stand for the plain one.
    """

    source: str
    tensors: Mapping[str, np.ndarray]
    outputs: Mapping[str, np.ndarray]
    accumulators: Mapping[str, np.ndarray] = field(default_factory=dict)
    provenance: Mapping[str, str] = field(default_factory=dict)
    float_nodes: Mapping[str, str] = field(default_factory=dict)
    unordered: frozenset[str] = frozenset()
    undisturbed: str | None = None
