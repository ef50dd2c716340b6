# SPDX-License-Identifier: Apache-2.0
"""The project's ResNet8 as a PyTorch module with the float weights of golden/, quantized by FX for an engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from golden.resnet8.quantize import read_weights

from q8emu.backends.torch import save_traced, under
from q8emu.models.resnet8 import STACKS

LAYERS = ("stem", *(f"{s}_{layer}" for s, _ in STACKS for layer in ("conv1", "conv2")))
SHORTCUTS = tuple(f"{stack}_shortcut" for stack, stride in STACKS if stride > 1)


def quantized(engine: str, calibration: np.ndarray) -> Any:
    """The module that convert_fx makes; logits come out.

    Args:
        engine: whose configuration, and who packs the weights.
        calibration: float32[N, 3, 32, 32] images of 0..255.
    """
    with under(engine, 1):
        import torch
        from torch.ao.quantization import get_default_qconfig_mapping
        from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

        images = torch.from_numpy(calibration)
        prepared = prepare_fx(_network(), get_default_qconfig_mapping(engine), (images[:1],))
        with torch.no_grad():
            prepared(images)
        return convert_fx(prepared)


def profile_here(engine: str) -> str:
    """The profile of an engine on this CPU: fbgemm rounds and saturates otherwise without AVX-512."""
    from q8emu.backends.cpu import this_cpu

    return f"torch-{engine}" + ("-avx2" if engine == "fbgemm" and "avx512f" not in this_cpu().flags else "")


def write(path: Path, engine: str, calibration: np.ndarray) -> Path:
    """The TorchScript file of it."""
    module = quantized(engine, calibration)
    with under(engine, 1):
        import torch

        return save_traced(module, (torch.from_numpy(calibration[:1]),), path)


def _network() -> Any:
    import torch
    import torch.nn.functional as F
    from torch import nn

    weights = {name: torch.from_numpy(np.array(array)) for name, array in read_weights().items()}

    def filled(layer: Any, name: str) -> Any:
        layer.weight.data, layer.bias.data = weights[f"{name}.weight"], weights[f"{name}.bias"]
        return layer

    class ResNet8(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            for name in (*LAYERS, *SHORTCUTS):
                o, i, k, _ = weights[f"{name}.weight"].shape
                stride = 1 if name == "stem" or name.endswith("conv2") else dict(STACKS)[name.partition("_")[0]]
                layer = nn.Conv2d(i, o, k, stride, 1 if k == 3 and stride == 1 else 0)
                setattr(self, name, filled(layer, name))
            self.pool, self.dense = nn.AdaptiveAvgPool2d(1), filled(nn.Linear(64, 10), "dense")

        def forward(self, x: Any) -> Any:
            x = F.relu(self.stem(x))
            for stack, stride in STACKS:
                inner = F.pad(x, (0, 1, 0, 1)) if stride > 1 else x
                inner = getattr(self, f"{stack}_conv2")(F.relu(getattr(self, f"{stack}_conv1")(inner)))
                shortcut = getattr(self, f"{stack}_shortcut")(x) if stride > 1 else x
                x = F.relu(shortcut + inner)
            return self.dense(torch.flatten(self.pool(x), 1))

    return ResNet8().eval()
