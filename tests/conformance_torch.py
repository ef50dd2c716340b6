# SPDX-License-Identifier: Apache-2.0
"""Modules of PyTorch for the conformance table: crafted requantizations in bulk, many random operators in one module.

A bulk is a product of one input channel whose float bias per output channel puts the accumulators where it hurts. What
an engine makes of a float bias depends on whether the weights have one scale or one per channel: both have rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

import conformance_cases
from conformance_bulk import LARGEST_BIAS, VALUES, Bulk, Model, crafted
from conformance_cases import Count, apart, judged, shared
from q8emu.backends import BACKENDS
from q8emu.backends.torch import Torch
from torch_cases import Case, Draw, Operand, arguments, draw, module, traced

Rng = np.random.Generator

OPERATORS = ("conv2d", "linear")
SCALES = ("per channel", "per tensor")
MOST_ULPS = 2  # that a float bias lies beside the value meant
LARGEST = LARGEST_BIAS - 2**10  # so that it stays within int32 as an integer, ULPs included


def engine_of(oracle: str) -> str:
    """What PyTorch calls the engine of an oracle."""
    backend = BACKENDS[oracle]
    assert isinstance(backend, Torch)
    return backend.engine


def torch_requantizations(profile: str, oracle: str, operator: str, scales: str, rng: Rng, wanted: int) -> Count:
    """One crafted module with about so many requantizations."""
    channels = max(wanted // VALUES, 16)
    bulk = crafted(rng, channels, "uint8") if scales == "per channel" else one_scale(rng, channels)
    model, feeds = product(operator, bulk, float_bias(rng, bulk), engine_of(oracle))
    found = judged(model, feeds, profile, oracle, 1, bulk.requantizations, len(feeds["x"]))
    assert found is not None, f"{oracle} gives no verdict on {operator}"
    return found


def one_scale(rng: Rng, channels: int) -> Bulk:
    """A bulk whose weights have one scale: ties or near ties, saturations and extremes."""
    bulk = crafted(rng, channels, "uint8")
    exponent = rng.uniform(-23, 2)
    scale = float(np.exp2(np.round(exponent) if rng.integers(2) else exponent))  # from accumulator to output
    at = rng.integers(0, 256, channels) - bulk.x_zero_point
    k = rng.integers(-10, 266, channels) - bulk.y_zero_point
    w = rng.integers(-127, 128, channels)
    bias = np.rint((k + 0.5) / scale) - w * at
    kinds = rng.integers(0, 8, channels)
    bias[kinds == 0] *= rng.uniform(-3, 3)
    bias[kinds == 1] = LARGEST * rng.choice([-1, 1])
    return replace(
        bulk,
        w=w.astype(np.int8),
        w_scale=np.full(channels, scale * bulk.y_scale / bulk.x_scale, np.float32),
        bias=np.clip(bias, -LARGEST, LARGEST).astype(np.int32),
    )


def float_bias(rng: Rng, bulk: Bulk) -> np.ndarray:
    """Real values of integers, halves and other fractions as float32; every other one is moved by an ULP or two."""
    integers = np.clip(bulk.bias.astype(np.int64), -LARGEST, LARGEST)
    fractions = np.choose(rng.integers(0, 4, integers.size), [0, 0, 0.5, rng.uniform(0, 1)])
    real = ((integers + fractions) * bulk.w_scale.astype(np.float64) * bulk.x_scale).astype(np.float32)
    ulps = rng.integers(-MOST_ULPS, MOST_ULPS + 1, real.size) * rng.integers(0, 2, real.size)
    moved: np.ndarray = (real + ulps * np.spacing(real)).astype(np.float32)
    return moved


def product(operator: str, bulk: Bulk, bias: np.ndarray, engine: str) -> Model:
    """A convolution with a 1x1 kernel, or a linear layer of one input."""
    import torch

    from q8emu.backends.torch import under

    is_conv = operator == "conv2d"
    shape = (bulk.channels, 1, 1, 1) if is_conv else (bulk.channels, 1)
    values, scales = torch.from_numpy(bulk.w.reshape(shape)), bulk.w_scale.astype(np.float64)
    x = (bulk.x.astype(np.float32) - bulk.x_zero_point) * np.float32(bulk.x_scale)
    feeds = {"x": x.reshape((1, 1, 1, VALUES) if is_conv else (VALUES, 1))}
    op = getattr(torch.ops.quantized, operator)
    with under(engine, 1):
        if (scales == scales[0]).all():
            weight = torch._make_per_tensor_quantized_tensor(values, float(scales[0]), 0)
        else:
            points = torch.zeros(bulk.channels, dtype=torch.int64)
            weight = torch._make_per_channel_quantized_tensor(values, torch.from_numpy(scales), points, 0)
        if is_conv:
            packed = torch.ops.quantized.conv2d_prepack(weight, torch.from_numpy(bias), [1, 1], [0, 0], [1, 1], 1)
        else:
            packed = torch.ops.quantized.linear_prepack(weight, torch.from_numpy(bias))
    operand = Operand(bulk.x_scale, bulk.x_zero_point)
    made = module([operand], lambda self, q: op(q, self.packed, bulk.y_scale, bulk.y_zero_point), packed=packed)
    return traced(made, list(feeds.values()), engine), feeds


# Random single operators


def torch_cases(profile: str, oracle: str, operator: str, rng: Rng, wanted: int) -> Count:
    """So many cases of random operators, which are all in one module; its inputs share a batch."""
    operators, sets = shared(wanted)
    batch = int(rng.integers(1, 5))
    engine = engine_of(oracle)
    cases = [draw(operator, Draw(rng, batch, sets), engine) for _ in range(operators)]
    return _torch(cases, profile, oracle, sets)


def _torch(cases: Sequence[Case], profile: str, oracle: str, sets: int) -> Count:
    side = partial(_judged, cases, profile, oracle, sets)
    found = apart(side) if conformance_cases.APART else side()  # fbgemm may crash while the module is traced
    if found is not None or len(cases) == 1:
        return found or Count(refused=sets)
    half = len(cases) // 2
    return _torch(cases[:half], profile, oracle, sets) + _torch(cases[half:], profile, oracle, sets)


def _judged(cases: Sequence[Case], profile: str, oracle: str, sets: int) -> Count | None:
    from q8emu.backends.torch import under

    engine = engine_of(oracle)
    arrays = [a for one in cases for a in one.feeds.values()]
    batch = len(arrays[0]) // sets
    content = traced(_side_by_side(cases), [a[:batch] for a in arrays], engine)
    with under(engine, 1):
        names = arguments(content)
    return judged(content, dict(zip(names, arrays, strict=True)), profile, oracle, len(cases), batch=batch)


def _side_by_side(cases: Sequence[Case]) -> Any:
    """One module that gives each of the modules its inputs."""
    import torch

    class Whole(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.parts = torch.nn.ModuleList([one.module for one in cases])

        def forward(self, *tensors: Any) -> Any:
            left = iter(tensors)
            return tuple(part(*(next(left) for _ in one.feeds)) for part, one in zip(self.parts, cases, strict=True))

    return Whole()
