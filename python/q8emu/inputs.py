# SPDX-License-Identifier: Apache-2.0
"""Input data for a model: from an npz file, random, or CIFAR-10 images; checked against what the model declares.

Names, dtypes and shapes must match exactly. Nothing is cast, and nothing is loaded before its header was checked.
"""

from __future__ import annotations

import tokenize
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import prod
from pathlib import Path
from typing import IO

import numpy as np

from q8emu.errors import BadInput, TooLarge
from q8emu.graph import Graph, QuantParams
from q8emu.program import memory_limit

MAX_BYTES = 4 << 30  # of all inputs together
_FLOATS = ("float16", "float32", "float64")


@dataclass(frozen=True)
class InputSpec:
    """What a model expects for one input.

    Attributes:
        name: in the model file.
        dtype: numpy name.
        shape: one run of the model; with `per_sample`, axis 0 is 1 and stands for any number of samples.
        per_sample: does the file leave the batch open?
        repeats: is the whole array given to every run, because it has no batch axis?
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    per_sample: bool = False
    repeats: bool = False

    def __str__(self) -> str:
        """As messages show it: float32[N, 3, 32, 32]."""
        if self.repeats:
            return f"{self.dtype}{list(self.shape)}"
        first = "N" if self.shape[0] == 1 else f"{self.shape[0]}·N"
        return f"{self.dtype}[{', '.join([first, *map(str, self.shape[1:])])}]"

    def fits(self, shape: Sequence[int]) -> bool:
        """Is it a legal shape for any number of runs?"""
        if self.repeats:
            return tuple(shape) == self.shape
        return len(shape) == len(self.shape) and tuple(shape[1:]) == self.shape[1:] and shape[0] >= 1


def count_runs(inputs: Mapping[str, np.ndarray], specs: Sequence[InputSpec]) -> int:
    """How many runs of the model's own batch the inputs fill.

    Raises:
        BadInput: a name, dtype or shape is not the model's, or axis 0 does not divide.
    """
    check_names(inputs, specs)
    counts: dict[str, int] = {}
    for spec in specs:
        array = inputs[spec.name]
        check_header(spec, _name(array.dtype), array.shape, "the given data")
        if not spec.repeats:
            counts[spec.name], rest = divmod(array.shape[0], spec.shape[0])
            if rest:
                raise BadInput(
                    f"Input '{spec.name}' has {array.shape[0]} samples; the model file fixes its batch to "
                    f"{spec.shape[0]}, so their number must be a multiple of {spec.shape[0]}."
                )
    if len(set(counts.values())) > 1:
        found = ", ".join(f"'{name}' {count}" for name, count in counts.items())
        raise BadInput(f"The inputs have different numbers of batches: {found}; expected one number for all.")
    return next(iter(counts.values()), 1)


@cache
def _name(dtype: np.dtype) -> str:
    """What NumPy takes microseconds to make."""
    return str(dtype)


def take(inputs: Mapping[str, np.ndarray], specs: Sequence[InputSpec], start: int, runs: int) -> dict[str, np.ndarray]:
    """The part of the inputs from run `start` on, `runs` runs long."""
    part = {}
    for spec in specs:
        array = inputs[spec.name]
        rows = spec.shape[0] if not spec.repeats else 0
        part[spec.name] = array if spec.repeats else array[start * rows : (start + runs) * rows]
    return part


def check_names(names: Mapping[str, object] | Sequence[str], specs: Sequence[InputSpec]) -> None:
    """Exactly the model's input names.

    Raises:
        BadInput: one is missing or unknown.
    """
    wanted = [spec.name for spec in specs]
    missing, unknown = [n for n in wanted if n not in names], [n for n in names if n not in wanted]
    if missing or unknown:
        found = ", ".join(f"'{name}'" for name in names) or "none"
        expected = ", ".join(f"'{spec.name}' {spec}" for spec in specs)
        raise BadInput(f"The model's inputs are {expected}; found {found}.")


def check_header(spec: InputSpec, dtype: str, shape: Sequence[int], where: str) -> None:
    """Exactly the model's dtype and shape.

    Raises:
        BadInput: naming what is expected and what was found.
    """
    if dtype != spec.dtype:
        raise BadInput(
            f"Input '{spec.name}' must be {spec}, found {dtype}{list(shape)} in {where}; q8emu casts nothing."
        )
    if not spec.fits(shape):
        raise BadInput(f"Input '{spec.name}' must be {spec}, found {dtype}{list(shape)} in {where}.")


def load_npz(path: Path, specs: Sequence[InputSpec]) -> dict[str, np.ndarray]:
    """The arrays of an npz file, after names, dtypes, shapes and sizes were checked in its headers.

    Raises:
        BadInput: the file is absent or damaged, or its content is not what the model expects.
        TooLarge: it claims more than the limit.
    """
    if not path.is_file():
        raise BadInput(f"There is no file '{path}'; expected an .npz file with the model's inputs.")
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            check_names(list(members), specs)
            claimed = sum(info.file_size for info in members.values())
            if claimed > MAX_BYTES:
                raise TooLarge(f"'{path}' unpacks to {claimed:,} bytes; the limit is {MAX_BYTES:,}. Use fewer samples.")
            return {spec.name: _member(archive, members[spec.name], spec, path) for spec in specs}
    except (
        zipfile.BadZipFile,
        zipfile.LargeZipFile,
        OSError,
        EOFError,
        ValueError,
        NotImplementedError,
        RuntimeError,
        SyntaxError,
        tokenize.TokenError,
    ) as e:
        raise BadInput(f"'{path}' is not a readable .npz file ({e}); write it with numpy.savez.") from e
    except MemoryError as problem:
        raise TooLarge(f"'{path}' does not fit into memory; use fewer samples.") from problem


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, spec: InputSpec, path: Path) -> np.ndarray:
    with archive.open(info) as stream:
        shape, dtype = _header(stream)
        begin = stream.tell()
    if dtype.hasobject:
        raise BadInput(f"Input '{spec.name}' in '{path}' holds Python objects; expected {spec}.")
    check_header(spec, str(dtype), shape, f"'{path}'")
    found, expected = info.file_size - begin, int(np.prod(shape, dtype=object)) * dtype.itemsize
    if found != expected:
        raise BadInput(
            f"Input '{spec.name}' in '{path}' holds {found:,} bytes; expected {expected:,} for {dtype}{list(shape)}."
        )
    with archive.open(info) as stream:
        array: np.ndarray = np.lib.format.read_array(stream, allow_pickle=False)
    return np.ascontiguousarray(array)


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(stream)
    return shape, dtype


def check_size(specs: Sequence[InputSpec]) -> None:
    """Refuse a model that one run's inputs alone push over the memory limit, before anything of that size is made.

    Raises:
        TooLarge: they do.
    """
    needed = sum(prod(spec.shape) * np.dtype(spec.dtype).itemsize for spec in specs)
    if needed > memory_limit():
        raise TooLarge(
            f"The model's inputs take {needed:,} bytes a run; the limit is {memory_limit():,}. "
            f"Set Q8EMU_MEMORY_LIMIT to a number of bytes."
        )


def random_inputs(graph: Graph, specs: Sequence[InputSpec], samples: int, seed: int) -> dict[str, np.ndarray]:
    """Random inputs from a seed: quantized ones over their full range, float ones a little beyond the representable.

    Raises:
        BadInput: the number of samples does not fit the model's batch, or an input has a dtype without a rule.
    """
    generator = np.random.default_rng(seed)
    made = {}
    for spec in specs:
        if samples < 1 or (not spec.repeats and samples % spec.shape[0]):
            raise BadInput(f"--random {samples}: expected a positive multiple of the model's batch, {spec.shape[0]}.")
        shape = spec.shape if spec.repeats else (samples, *spec.shape[1:])
        if int(np.prod(shape, dtype=object)) * np.dtype(spec.dtype).itemsize > MAX_BYTES:
            raise TooLarge(
                f"--random {samples}: input '{spec.name}' would exceed {MAX_BYTES:,} bytes; use fewer samples."
            )
        made[spec.name] = _random(generator, spec, shape, _quantization_of(graph, spec.name))
    return made


def _random(
    generator: np.random.Generator, spec: InputSpec, shape: tuple[int, ...], params: QuantParams | None
) -> np.ndarray:
    if spec.dtype in ("int8", "uint8"):
        limits = np.iinfo(spec.dtype)
        return generator.integers(limits.min, limits.max, shape, dtype=spec.dtype, endpoint=True)
    if spec.dtype not in _FLOATS:
        raise BadInput(
            f"--random makes float, int8 and uint8 inputs; '{spec.name}' is {spec.dtype}; give it with --inputs."
        )
    if params is None:
        return generator.standard_normal(shape).astype(spec.dtype)
    limits, scale = np.iinfo(params.dtype), max(params.scale)
    low, high = (
        (q - z) * scale for q, z in ((limits.min, max(params.zero_point)), (limits.max, min(params.zero_point)))
    )
    margin, largest = (high - low) / 16, float(np.finfo(spec.dtype).max)
    low, high = max(low - margin, -largest), min(high + margin, largest)
    halves: np.ndarray = generator.uniform(low / 2, high / 2, shape).astype(spec.dtype)  # the whole range may overflow
    doubled: np.ndarray = halves + halves
    return doubled


def _quantization_of(graph: Graph, name: str) -> QuantParams | None:
    """The parameters of the QuantizeLinear that reads a float input."""
    for node in graph.nodes:
        if node.op == "QuantizeLinear" and node.inputs[0] == name and node.out_quant:
            return node.out_quant[0]
    return None


def cifar10_inputs(specs: Sequence[InputSpec], folder: Path | None, samples: int) -> dict[str, np.ndarray]:
    """The first CIFAR-10 test images, NCHW or NHWC by the input's shape: raw pixels 0..255, for int8 pixel - 128.

    Raises:
        BadInput: the model does not take such images, or the dataset is absent.
    """
    from q8emu.datasets import cifar10, pixels

    layout = pixels.layout_of(specs[0].shape) if len(specs) == 1 else None
    if layout is None or specs[0].dtype not in pixels.DTYPES:
        found = ", ".join(f"'{spec.name}' {spec}" for spec in specs)
        raise BadInput(
            "--cifar10 feeds float32, uint8 or int8 pixels [N, 3, 32, 32] or [N, 32, 32, 3]; the model's inputs are "
            f"{found}."
        )
    images, _ = cifar10.test_images(folder)
    if not 1 <= samples <= len(images):
        raise BadInput(f"--cifar10 {samples}: expected 1 to {len(images)} test images.")
    return {specs[0].name: pixels.as_input(images[:samples], specs[0].dtype, layout)}
