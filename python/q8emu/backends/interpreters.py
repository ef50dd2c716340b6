# SPDX-License-Identifier: Apache-2.0
"""What the oracles of TFLite files share: tensor names, the comparison of two interpreters, the words of a refusal."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from q8emu.graph import unique_name


def unique_names(names: Mapping[int, str]) -> dict[int, str]:
    """Unique names by index, as the reader makes them; scratch tensors come behind those of the file."""
    taken: set[str] = set()
    found = {}
    for index in sorted(names):
        found[index] = unique_name(names[index], index, taken)
        taken.add(found[index])
    return found


def first_difference(plain: Mapping[str, np.ndarray], seen: Mapping[str, np.ndarray]) -> str | None:
    """None where the final outputs of both have the same bits, else a sentence."""
    for name, array in plain.items():
        other = seen[name]
        if array.dtype != other.dtype or array.shape != other.shape or array.tobytes() != other.tobytes():
            return f"showing inner tensors changes its final output '{name}'"
    return None


def first_line(problem: BaseException) -> str:
    """The first line of what a runtime says, within a sentence's length."""
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(problem).__name__
