# SPDX-License-Identifier: Apache-2.0
"""A TorchScript file of a quantized model becomes a Graph of q8emu's own operators; nothing is left to canonicalize.

The file is untrusted. Its code is parsed and evaluated on descriptions of tensors, its pickles go through a machine of
our own (`torch_code`, `torch_pickle`): nothing in it is executed, and torch is not needed. Such a file carries no
shapes but those of the example that it was traced with; other ones can be given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from q8emu.errors import BadInput, BadModel
from q8emu.graph import Graph
from q8emu.readers.shapes import checked_shape
from q8emu.readers.torch_archive import Archive, is_torch
from q8emu.readers.torch_code import Code
from q8emu.readers.torch_modules import settle
from q8emu.readers.torch_network import Network
from q8emu.readers.torch_operators import operator
from q8emu.readers.torch_pickle import Tensor, load
from q8emu.unpickle import Damaged, Object

Shapes = Mapping[str, Sequence[int]]
Visit = Callable[[str, Sequence[Any], Mapping[str, Any]], Any]

__all__ = ["is_torch", "read_torch", "visit_torch"]


def read_torch(model: Path | str, shapes: Shapes | None = None, batch: int | None = None) -> Graph:
    """Read a traced TorchScript file of a model that FX quantized.

    Args:
        model: the path.
        shapes: of the inputs by name, or one under the name "" for a model with one input; without it the shapes of
            the example that the model was traced with, which the file keeps.
        batch: the length of axis 0 of all inputs, instead of what the shapes say.

    Returns:
        The canonical graph, layout "NCHW".

    Raises:
        BadInput: there is no such file, or a shape is missing.
        BadModel: the file is damaged or contradicts itself.
        BadQuantization: a scale or zero point is not a legal one.
        ShapeMismatch: shapes do not fit each other.
        TooLarge: a tensor beyond the limit.
        UnsupportedOperator: an operator, element type or attribute that q8emu does not emulate.
    """
    network = Network()
    with _explained(model):
        return network.graph(_evaluate(model, shapes or {}, batch, network, partial(operator, network))[1])


def visit_torch(model: Path | str, shapes: Shapes, network: Network, visit: Visit) -> Object:
    """Evaluate the code of a file; `visit` is called for each operator in turn and gives its result.

    Returns:
        The outermost module.

    Raises:
        Q8Error: as `read_torch`.
    """
    with _explained(model):
        return _evaluate(model, shapes, None, network, visit)[0]


@contextmanager
def _explained(model: Path | str) -> Iterator[None]:
    """Whatever a damaged file makes the evaluation raise is one sentence."""
    try:
        yield
    except (Damaged, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as problem:
        what = problem if isinstance(problem, Damaged) else f"something of the wrong kind ({problem})"
        raise BadModel(
            f"The TorchScript file '{Path(model).name}' is damaged, or not of a quantized model: it has {what}. "
            "Trace and save it again."
        ) from problem


def _evaluate(
    model: Path | str, shapes: Shapes, batch: int | None, network: Network, visit: Visit
) -> tuple[Object, Any]:
    archive = Archive(Path(model))
    module = load(archive, "data")
    if not isinstance(module, Object):
        raise Damaged("no module")
    settle(module)
    constants = load(archive, "constants") if archive.has("constants.pkl") else ()
    code = Code(archive, constants, visit)
    names = code.arguments(module.kind)
    inputs = [network.input(n, s) for n, s in zip(names, _shapes(archive, names, shapes, batch), strict=True)]
    return module, code.call(module, "forward", inputs)


def _shapes(archive: Archive, names: Sequence[str], shapes: Shapes, batch: int | None) -> list[tuple[int, ...]]:
    given = dict(shapes)
    if "" in given and len(names) == 1:
        given = {names[0]: given[""]}
    unknown = [n for n in given if n not in names]
    if unknown:
        expected = ", ".join(f"'{n}'" for n in names)
        raise BadInput(f"A shape is given for the input '{unknown[0]}'; the model's inputs are {expected}.")
    traced = _traced(archive) if len(given) < len(names) else []
    found = []
    for index, name in enumerate(names):
        shape = given.get(name, traced[index] if index < len(traced) else None)
        if shape is None:
            raise BadInput(
                f"The TorchScript file does not say what shape its input '{name}' has; give it with "
                f"--shape {name}=1,3,224,224 (in Python: shapes={{'{name}': (1, 3, 224, 224)}})."
            )
        sizes = checked_shape(shape, f"input '{name}'")
        if not sizes:
            raise BadModel(f"The model's input '{name}' is a scalar; expected a batch of something.")
        found.append((batch or sizes[0], *sizes[1:]))
    return found


def _traced(archive: Archive) -> list[Sequence[int]]:
    """Shapes of the example inputs, which the file keeps without their numbers."""
    if not archive.has("traced_inputs.pkl"):
        return []
    kept = load(archive, "traced_inputs")
    example = kept.get("forward", []) if isinstance(kept, dict) else []
    return [t.shape for t in example if isinstance(t, Tensor)]
