# SPDX-License-Identifier: Apache-2.0
"""What `--numerics` names: a built-in profile, or the TOML file of an own chip."""

from __future__ import annotations

from pathlib import Path

from q8emu.numerics import PROFILES, Numerics, profile
from q8emu.numerics.toml import read_profile
from q8emu.ops import OPS


def find_profile(name: str) -> Numerics:
    """The record called by a built-in name, or described by a file whose name ends with .toml.

    Raises:
        BadInput: no such profile, or a wrong file; one sentence says why.

    Example:
        >>> find_profile("hwguide").rounding
        'hwguide'
    """
    return read_profile(Path(name), PROFILES, tuple(OPS)) if name.endswith(".toml") else profile(name)
