# SPDX-License-Identifier: Apache-2.0
"""Numerics profiles: a hardware's arithmetic as a value."""

from __future__ import annotations

import difflib

from q8emu.errors import BadInput
from q8emu.numerics.guide import GUIDE
from q8emu.numerics.hardware import HARDWARE
from q8emu.numerics.numerics import Numerics
from q8emu.numerics.profiles import (
    ORT,
    QDQ,
    TFLITE,
    TFLITE_REF,
    TFLM,
    TORCH_FBGEMM,
    TORCH_FBGEMM_AVX2,
    TORCH_QNNPACK,
    XNNPACK,
)

PROFILES: dict[str, Numerics] = {
    p.name: p
    for p in (
        ORT,
        QDQ,
        TFLITE,
        TFLITE_REF,
        TFLM,
        TORCH_FBGEMM,
        TORCH_FBGEMM_AVX2,
        TORCH_QNNPACK,
        XNNPACK,
        *GUIDE,
        *HARDWARE,
    )
}


def profile(name: str) -> Numerics:
    """The built-in profile of this name.

    Raises:
        BadInput: unknown name; lists the known ones.

    Example:
        >>> profile("ort").rounding
        'half_even'
    """
    if name in PROFILES:
        return PROFILES[name]
    near = difflib.get_close_matches(name, PROFILES, 1)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    raise BadInput(f"There is no numerics profile '{name}'{hint or '.'} Known profiles: {', '.join(sorted(PROFILES))}.")


def identity(numerics: Numerics) -> str:
    """What a program is lowered under: the name of a built-in profile, else a hash of the decisions.

    Example:
        >>> identity(PROFILES["ort"])
        'ort'
    """
    if PROFILES.get(numerics.name) == numerics:
        return numerics.name
    return f"sha256 {numerics.digest}"


__all__ = ["PROFILES", "Numerics", "identity", "profile"]
