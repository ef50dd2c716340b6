# SPDX-License-Identifier: Apache-2.0
"""The rows of the conformance table: which profile is held to which oracle, on which operator, by which generator.

A new profile gets its rows here: `tflite_rows`, `onnx_rows` or `torch_rows` where its oracle runs model files, else
`Row` with a function of its own. The tests are red until every profile that names an oracle has them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np

import strategies
import torch_cases as torch_modules
from conformance_cases import SETS, Count, onnx_cases, requantizations, tflite_cases
from conformance_torch import OPERATORS, SCALES, torch_cases, torch_requantizations
from strategies_builder import SPELLINGS
from tflite_cases import CASES

Compare = Callable[[np.random.Generator, int], Count]

TFLITE_BULK = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
LITERT = ("ai_edge_litert.interpreter", "pip install '.[litert]'")
TORCH = ("torch", "pip install '.[torch]'")
TOSA = ("tosa_reference_model", "pip install --no-deps tosa-tools")
NEEDS = {
    "litert": LITERT,
    "litert-ref": LITERT,
    "litert-xnnpack": LITERT,
    "tflm": ("tflite_micro", "pip install '.[tflm]'"),
    "tosa-double": TOSA,
    "tosa-inexact": TOSA,
    "tosa-single": TOSA,
    "torch-fbgemm": TORCH,
    "torch-fbgemm-avx2": TORCH,
    "torch-qnnpack": TORCH,
}
# The profile has no rule, or the oracle no form.
NOT_TOSA = {"HARD_SWISH", "LEAKY_RELU", "LOGISTIC", "PADV2", "RESIZE_NEAREST_NEIGHBOR", "STRIDED_SLICE", "TANH"}


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Attributes:
        profile: name of the numerics profile.
        oracle: what it is held to.
        operator: of the oracle's format, or what is compared.
        unit: what is counted: random models of one operator, or crafted requantizations.
        compare: makes about so many units with a generator, and compares them.
        batch: units that one call takes at most.
        needs: a module without which the oracle cannot run, and the command that brings it.
    """

    profile: str
    oracle: str
    operator: str
    unit: Literal["cases", "requantizations"]
    compare: Compare
    batch: int
    needs: tuple[str, str] | None = None

    @property
    def key(self) -> str:
        """What names the row."""
        return f"{self.profile} {self.oracle} {self.operator} {self.unit}"


def tflite_rows(profile: str, oracle: str, without: Collection[str] = ()) -> list[Row]:
    """Every TFLite operator but those that the profile refuses, many in one file; the products in bulk."""
    bulk = [
        Row(
            profile,
            oracle,
            op,
            "requantizations",
            partial(requantizations, profile, oracle, op, "int8"),
            2**20,
            NEEDS[oracle],
        )
        for op in TFLITE_BULK
    ]
    return bulk + [
        Row(
            profile,
            oracle,
            op,
            "cases",
            partial(tflite_cases, profile, oracle, op),
            SETS * (16 if profile.startswith("tosa") else 256),
            NEEDS[oracle],
        )
        for op in CASES
        if op not in without
    ]


def onnx_rows(profile: str, oracle: str, spellings: Sequence[str] = SPELLINGS) -> list[Row]:
    """Every family of ONNX operators in these spellings, and the products in bulk."""
    bulk = [
        Row(
            profile,
            oracle,
            f"{op} {dtype}",
            "requantizations",
            partial(requantizations, profile, oracle, op, dtype),
            2**20,
        )
        for op in ("QGemm", "QLinearConv")
        for dtype in ("int8", "uint8")
    ]
    return bulk + [
        Row(profile, oracle, op, "cases", partial(onnx_cases, profile, oracle, op, spellings), SETS * 16)
        for op in sorted(strategies.OPERATORS)
    ]


def torch_rows(profile: str, oracle: str) -> list[Row]:
    """Every generator of PyTorch modules, many in one file; the products in bulk."""
    bulk = [
        Row(
            profile,
            oracle,
            f"{op} {scales}",
            "requantizations",
            partial(torch_requantizations, profile, oracle, op, scales),
            2**18 if scales == "per channel" else 2**15,
            NEEDS[oracle],
        )
        for op in OPERATORS
        for scales in SCALES
    ]
    return bulk + [
        Row(profile, oracle, op, "cases", partial(torch_cases, profile, oracle, op), SETS * 64, NEEDS[oracle])
        for op in torch_modules.CASES
    ]


ROWS: tuple[Row, ...] = (
    *onnx_rows("ort", "ort"),
    *onnx_rows("ort-x64-avx2", "ort-x64-avx2"),
    *onnx_rows("qdq", "ort-unfused", spellings=("qdq",)),
    *tflite_rows("tflite", "litert"),
    *tflite_rows("tflite-ref", "litert-ref"),
    *tflite_rows("tflm", "tflm"),
    *tflite_rows("xnnpack", "litert-xnnpack"),
    *tflite_rows("tosa-double", "tosa-double", without=NOT_TOSA),
    *tflite_rows("tosa-inexact", "tosa-inexact", without=NOT_TOSA),
    *tflite_rows("tosa-single", "tosa-single", without=NOT_TOSA),
    *torch_rows("torch-fbgemm", "torch-fbgemm"),
    *torch_rows("torch-fbgemm-avx2", "torch-fbgemm-avx2"),
    *torch_rows("torch-qnnpack", "torch-qnnpack"),
)
