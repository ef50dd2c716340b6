# SPDX-License-Identifier: Apache-2.0
"""Profiles after descriptions of hardware that no runtime implements: nothing but q8emu's own definition holds them."""

from __future__ import annotations

from dataclasses import replace

from q8emu.numerics.profiles import ORT

HWGUIDE = replace(
    ORT,
    name="hwguide",
    reproduces="a hardware guide's pseudocode (v >= 0 ? v + half : v - half) >> 16, taken literally; no runtime",
    oracle="",
    scale="multiplier",
    fraction_bits=16,
    rounding="hwguide",
    add="float",
    multiply="requantize",
    average_pool="raw_half_away",
    mean="requantize_quotient",
    source="the pseudocode of guides to int8 hardware: Q16 factors, float32 residual additions",
)

HALF_AWAY = replace(
    HWGUIDE,
    name="half-away",
    reproduces="what the pseudocode of hwguide means to say: to the nearest integer, ties away from zero; no runtime",
    rounding="half_away",
)

POW2 = replace(
    ORT,
    name="pow2",
    reproduces="power-of-two scales, shifts that round half up, as ESP-DL on ESP32-S3 and DPU-like designs; no runtime",
    oracle="",
    scale="power_of_two",
    rounding="half_up",
    beyond="saturate",
    add="left_shift",
    multiply="requantize",
    average_pool="raw_half_away",
    mean="requantize_quotient",
    source="espressif/esp-dl: dl/tool/src/dl_tool.cpp, dl/dl_define_private.hpp; read, not run",
)

POW2_HALF_EVEN = replace(
    POW2,
    name="pow2-half-even",
    reproduces="power-of-two scales, shifts that round half to even, as ESP-DL on ESP32-P4; no runtime",
    rounding="half_even",
)

GUIDE = (HALF_AWAY, HWGUIDE, POW2, POW2_HALF_EVEN)
