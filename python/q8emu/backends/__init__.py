# SPDX-License-Identifier: Apache-2.0
"""The oracles that q8emu compares with, by the names that `--against` takes."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from types import MappingProxyType

from q8emu.backends.base import Backend, FileSession, GraphBackend, OracleSession
from q8emu.backends.definition import Definition
from q8emu.backends.litert import LITERT, LITERT_REF, LITERT_XNNPACK
from q8emu.backends.onnx_reference import OnnxReference
from q8emu.backends.onnxruntime import ORT, ORT_DEFAULT, ORT_UNFUSED, ORT_X64_AVX2
from q8emu.backends.tflm import TFLM
from q8emu.backends.torch import TORCH_FBGEMM, TORCH_FBGEMM_AVX2, TORCH_ONEDNN, TORCH_QNNPACK, TORCH_X86
from q8emu.backends.tosa import TOSA_DOUBLE, TOSA_INEXACT, TOSA_SINGLE
from q8emu.errors import BadInput

_BY_NAME: dict[str, Backend] = {
    "litert": LITERT,
    "litert-ref": LITERT_REF,
    "litert-xnnpack": LITERT_XNNPACK,
    "onnx-reference": OnnxReference(),
    "ort": ORT,
    "ort-default": ORT_DEFAULT,
    "ort-unfused": ORT_UNFUSED,
    "ort-x64-avx2": ORT_X64_AVX2,
    "spec": Definition(),
    "tflm": TFLM(),
    "torch-fbgemm": TORCH_FBGEMM,
    "torch-fbgemm-avx2": TORCH_FBGEMM_AVX2,
    "torch-onednn": TORCH_ONEDNN,
    "torch-qnnpack": TORCH_QNNPACK,
    "torch-x86": TORCH_X86,
    "tosa-double": TOSA_DOUBLE,
    "tosa-inexact": TOSA_INEXACT,
    "tosa-single": TOSA_SINGLE,
}
BACKENDS: Mapping[str, Backend] = MappingProxyType(_BY_NAME)


def backend(name: str) -> Backend:
    """The oracle called `name`.

    Raises:
        BadInput: no oracle has that name; lists the known ones.
    """
    if name not in BACKENDS:
        near = get_close_matches(name, BACKENDS, 1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise BadInput(f"--against: no oracle is called '{name}'; the oracles are {', '.join(BACKENDS)}{hint}")
    return BACKENDS[name]


__all__ = ["BACKENDS", "Backend", "FileSession", "GraphBackend", "OracleSession", "backend"]
