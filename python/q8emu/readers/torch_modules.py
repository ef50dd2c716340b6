# SPDX-License-Identifier: Apache-2.0
"""The modules of a TorchScript file: their names, and the packed weights of convolutions and linear layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from q8emu.readers.torch_pickle import Tensor
from q8emu.unpickle import Damaged, Object

PACKED = "_packed_params"
_CONV = "torch.classes.quantized.Conv2dPackedParamsBase"
_LINEAR = "torch.classes.quantized.LinearPackedParamsBase"
# A quantized convolution keeps itself as a tuple; this is what its __setstate__ makes of it.
_CONV_MODULE = (
    "in_channels",
    "out_channels",
    "kernel_size",
    "stride",
    "padding",
    "dilation",
    "transposed",
    "output_padding",
    "groups",
    "padding_mode",
    "weight",
    "bias",
    "scale",
    "zero_point",
    "training",
)
_CONV_KINDS = ("torch.ao.nn.quantized.modules.conv.", "torch.ao.nn.intrinsic.quantized.modules.conv_relu.")
_NUMBERS = 11  # of version 2: dimensions, then pairs: stride, padding, dilation, output padding; groups, transposed


@dataclass(frozen=True)
class Packed:
    """Weights as an operator takes them; a linear layer has no window."""

    path: str
    weight: Tensor
    bias: Tensor | None
    strides: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    dilations: tuple[int, ...] = ()
    groups: int = 1


def settle(module: Object, path: str = "", depth: int = 0, seen: set[int] | None = None) -> None:
    """Give the modules below this one their attributes by name, and replace packed weights by `Packed`.

    Raises:
        Damaged: a state is not one that torch writes.
    """
    if depth > 64:
        raise Damaged("modules inside modules without an end")
    seen = set() if seen is None else seen
    if id(module) in seen:  # a module under two names
        return
    seen.add(id(module))
    if isinstance(module.state, tuple) and module.kind.removeprefix("__torch__.").startswith(_CONV_KINDS):
        module.state = _convolution(module.state, path)
    if not isinstance(module.state, dict):
        return
    for name, value in module.state.items():
        if isinstance(value, Object):
            own = f"{path}.{name}" if path else str(name)
            packed = _packed(value, own)
            if packed is None:
                settle(value, own, depth + 1, seen)
            else:
                module.state[name] = packed


def holder(path: str) -> str:
    """The module that a path of packed weights belongs to.

    Example:
        >>> holder("dense._packed_params._packed_params"), holder("_packed_weight_0")
        ('dense', '_packed_weight_0')
    """
    while path.endswith(f".{PACKED}"):
        path = path.removesuffix(f".{PACKED}")
    return path


def _convolution(state: tuple[Any, ...], path: str) -> dict[str, Any]:
    if len(state) != len(_CONV_MODULE):
        raise Damaged(f"a convolution '{path}' with {len(state)} entries; expected {len(_CONV_MODULE)}")
    known = dict(zip(_CONV_MODULE, state, strict=True))
    if known["transposed"] or known["padding_mode"] != "zeros":
        raise Damaged(f"a convolution '{path}' that is transposed or pads with something else than zeros")
    strides, padding, dilations = (_pair(known[name]) for name in ("stride", "padding", "dilation"))
    weight, bias = _weights(known["weight"], known["bias"])
    packed = Packed(path, weight, bias, strides, padding, dilations, _count(known["groups"]))
    return {name: known[name] for name in ("scale", "zero_point")} | {PACKED: packed}


def _packed(value: Object, path: str) -> Packed | None:
    if value.kind.endswith(_LINEAR):
        weight, bias = value.state
        return Packed(holder(path), *_weights(weight, bias))
    if not value.kind.endswith(_CONV):
        return None
    version, tensors, optional = value.state
    if version != "2":
        raise Damaged("convolution weights of another format than '2'")
    numbers = [int(n) for n in tensors[0].array().reshape(-1)]
    if len(numbers) != _NUMBERS or numbers[0] != 2 or numbers[10]:
        raise Damaged(f"a convolution '{path}' that is not 2-D, or transposed, which q8emu does not read")
    strides, padding, dilations = (_pair(numbers[i : i + 2]) for i in (1, 3, 5))
    weight, bias = _weights(tensors[1], optional[0])
    return Packed(holder(path), weight, bias, strides, padding, dilations, _count(numbers[9]))


def _weights(weight: Any, bias: Any) -> tuple[Tensor, Tensor | None]:
    if not isinstance(weight, Tensor) or not isinstance(bias, Tensor | None):
        raise Damaged("packed weights that are no tensors")
    return weight, bias


def _pair(value: Sequence[Any]) -> tuple[int, ...]:
    if len(value) != 2:
        raise Damaged(f"a window of {len(value)} sizes; expected 2")
    return tuple(_count(v) for v in value)


def _count(value: Any) -> int:
    if not isinstance(value, int) or not 0 <= value < 2**16:
        raise Damaged("a size of a convolution that is no integer from 0 to 65,535")
    return value
