# SPDX-License-Identifier: Apache-2.0
"""q8emu: a bit-exact golden model of int8 neural networks.

    report = q8emu.verify("model.onnx")          # emulate, compare with the oracles, verdict
    trace = q8emu.run("model.onnx", inputs)      # emulate; outputs and every quantized tensor
    q8emu.convert("model.tflite", "out.onnx")    # any quantized model as ONNX, QDQ or QOperator
    q8emu.diff("model.onnx", numerics=("a", "b"))  # what a change of arithmetic costs
    q8emu.draw("model.onnx", "model.svg")        # a picture with scales and zero points
    q8emu.inspect("model.onnx")                  # nodes, quantization parameters, what each lowers to
    emulator = q8emu.load("model.onnx")          # opened once, for many runs

`import q8emu` is fast: each name is looked up when it is first used, and only then are NumPy, ONNX and the core loaded.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from q8emu.api import build_info, inspect, load, run
    from q8emu.backends import BACKENDS
    from q8emu.convert import convert
    from q8emu.diff import diff
    from q8emu.draw import draw
    from q8emu.errors import Q8Error
    from q8emu.numerics import PROFILES, Numerics
    from q8emu.verify import verify

    __version__: str

__all__ = [
    "BACKENDS",
    "PROFILES",
    "Numerics",
    "Q8Error",
    "__version__",
    "build_info",
    "convert",
    "diff",
    "draw",
    "inspect",
    "load",
    "run",
    "verify",
]

_HOMES = {
    "BACKENDS": "q8emu.backends",
    "PROFILES": "q8emu.numerics",
    "Numerics": "q8emu.numerics",
    "Q8Error": "q8emu.errors",
    "build_info": "q8emu.api",
    "convert": "q8emu.convert",
    "diff": "q8emu.diff",
    "draw": "q8emu.draw",
    "inspect": "q8emu.api",
    "load": "q8emu.api",
    "run": "q8emu.api",
    "verify": "q8emu.verify",
}


def _public(name: str) -> property:
    """The property of the package that looks `name` up in its home."""

    def look_up(_: ModuleType) -> Any:
        return getattr(import_module(_HOMES[name]), name)

    def keep(_: ModuleType, value: object) -> None:
        if not isinstance(value, ModuleType):
            raise AttributeError(f"q8emu.{name} is part of the public interface and cannot be replaced")

    return property(look_up, keep)


class _Package(ModuleType):
    """The package as a module whose public names are properties.

    `convert`, `diff`, `draw`, `inspect`, `run` and `verify` are functions and also files of the package. Python binds a
    file's module to its name in the package when it is imported; the setter of the property ignores that, so
    `q8emu.verify` is always the function. `from q8emu.verify import ...` reads the file, as ever.
    """

    @property
    def __version__(self) -> str:
        from importlib.metadata import version

        return version("q8emu")

    def __dir__(self) -> list[str]:
        return sorted(__all__)


for _name in _HOMES:
    setattr(_Package, _name, _public(_name))
sys.modules[__name__].__class__ = _Package
