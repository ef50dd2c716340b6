# SPDX-License-Identifier: Apache-2.0
"""Which CPU the oracles run on, and whether their u8×s8 products are exact there. Asks the operating system only."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_VNNI = frozenset({"avx512_vnni", "avx_vnni", "amx_int8"})
_SHOWN = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "fma", "asimddp", "i8mm")


@dataclass(frozen=True)
class Cpu:
    """Model name, architecture and instruction-set flags; `flags` is empty where the system does not tell them."""

    model: str
    machine: str
    flags: frozenset[str]

    @property
    def has_vnni(self) -> bool:
        """Does it multiply u8 by s8 into int32 in one exact instruction?"""
        return bool(self.flags & _VNNI)

    @property
    def saturates_pairs(self) -> bool:
        """Do ONNX Runtime's u8×s8 kernels saturate sums of two products here, as AVX2 without VNNI does?"""
        return "avx2" in self.flags and not self.has_vnni

    @property
    def sums_by_8(self) -> bool:
        """Does ONNX Runtime's Softmax add in eight lanes here, as with AVX2 and FMA and without AVX-512?"""
        return {"avx2", "fma"} <= self.flags and "avx512f" not in self.flags

    @property
    def fbgemm(self) -> str:
        """What PyTorch's fbgemm computes with: "AVX-512 and VNNI", "AVX2", or "" for others."""
        if "avx512_vnni" in self.flags:
            return "AVX-512 and VNNI"
        return "AVX2" if "avx2" in self.flags and "avx512f" not in self.flags else ""

    def describe(self) -> str:
        """One line for a fingerprint."""
        shown = " ".join(flag for flag in _SHOWN if flag in self.flags)
        vnni = "" if self.machine not in ("x86_64", "AMD64") else ", vnni yes" if self.has_vnni else ", vnni no"
        return (
            f"{self.model} ({self.machine}{', ' + shown if shown else ''}{vnni if self.flags else ', flags unknown'})"
        )


@cache
def this_cpu() -> Cpu:
    """The CPU of this machine."""
    return parse_cpuinfo(_cpuinfo(), platform.machine(), platform.processor())


def parse_cpuinfo(text: str, machine: str, fallback: str) -> Cpu:
    """Read the text of /proc/cpuinfo; `fallback` names the CPU where the text does not."""
    fields: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    flags = fields.get("flags") or fields.get("Features") or ""
    return Cpu(fields.get("model name") or fallback or "unknown CPU", machine, frozenset(flags.split()))


def _cpuinfo() -> str:
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
