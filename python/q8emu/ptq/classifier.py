# SPDX-License-Identifier: Apache-2.0
"""Any model file on any runtime as one object: images go in, one score per class comes out.

The sessions are those of the oracles, opened without taps, so that an accuracy is that of the very session that
`verify` compares with; q8emu itself is one more runtime.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from q8emu.backends import BACKENDS, Backend, FileSession, OracleSession
from q8emu.backends.torch import as_it_comes, under
from q8emu.datasets import pixels
from q8emu.emulator import Emulator, Options, model_format
from q8emu.errors import BadInput, Q8Error
from q8emu.fingerprint import version
from q8emu.ptq import torch_model
from q8emu.ptq.model_file import input_shapes, is_torchscript

Q8EMU, TORCH = "q8emu", "torch"
DEFAULTS: Mapping[str, tuple[str, str]] = {
    "ONNX": ("ort", "ort"),
    "TFLite": ("litert", "tflite"),
    "PyTorch": (Q8EMU, "torch-fbgemm"),
}
"""By the file's format: the backend, and the numerics profile of the backend q8emu."""
BATCH = 100  # images per run where the file leaves the batch open
Progress = Callable[[int, int, str], None]
Prepare = Callable[[np.ndarray], np.ndarray]
Execute = Callable[[np.ndarray], Mapping[str, np.ndarray]]


def _as_is(inputs: np.ndarray) -> np.ndarray:
    return inputs


@dataclass(frozen=True)
class ModelInput:
    """The one input of a classifier; `shape` without the batch, None where only images tell it (PyTorch)."""

    name: str
    dtype: str
    shape: tuple[int | None, ...] | None

    @property
    def layout(self) -> pixels.Layout | None:
        """How 32×32 images go in; PyTorch files, which say nothing, take NCHW."""
        return "NCHW" if self.shape is None else pixels.layout_of((0, *(size or 0 for size in self.shape)))

    def __str__(self) -> str:
        sizes = ["?"] if self.shape is None else ["?" if size is None else str(size) for size in self.shape]
        return f"{self.dtype}[N, {', '.join(sizes)}]"


@dataclass(frozen=True)
class Classifier:
    """One model opened in one runtime.

    Attributes:
        model: the file.
        format: "ONNX", "TFLite" or "PyTorch".
        backend: what runs it.
        numerics: the profile, for the backend q8emu.
        runtime: name and version of what runs it.
        input: what goes in.
        batch: inputs per run.
        threads: that work, inside of one run or on runs side by side.
        workers: exactly `batch` inputs become the model's outputs; several may run at the same time.
    """

    model: Path
    format: str
    backend: str
    numerics: str | None
    runtime: str
    input: ModelInput
    batch: int
    threads: int
    workers: tuple[Execute, ...]

    def as_input(self, images: np.ndarray) -> np.ndarray:
        """Images uint8[N, 3, 32, 32] as this model takes them: raw pixels, in its dtype and layout.

        Raises:
            BadInput: the model does not take such images.
        """
        layout = self.input.layout
        if layout is None or self.input.dtype not in pixels.DTYPES:
            raise BadInput(
                f"The model's input '{self.input.name}' is {self.input}; CIFAR-10 images are float32, uint8 or int8 "
                "pixels [N, 3, 32, 32] or [N, 32, 32, 3]. Give data of your own with --inputs and --labels."
            )
        return pixels.as_input(images, self.input.dtype, layout)

    def scores(self, images: np.ndarray, progress: Progress | None = None) -> np.ndarray:
        """The scores of images uint8[N, 3, 32, 32], in the dtype of the model's output [N, classes]."""
        return self.run(images, progress, self.as_input)

    def run(self, inputs: np.ndarray, progress: Progress | None = None, prepare: Prepare = _as_is) -> np.ndarray:
        """The scores [N, classes] of inputs that `prepare` turns into what the model takes.

        Raises:
            BadInput: another dtype or shape; or the model gives no scores per class.
        """
        starts = range(0, len(inputs), self.batch)
        count = min(len(self.workers), len(starts))

        def work(index: int) -> list[np.ndarray]:
            parts = []
            for start in starts[index::count]:
                if progress is not None and index == 0:  # the others are about as far
                    progress(start, len(inputs), "evaluating")
                parts.append(self._scores(self.workers[index], prepare(inputs[start : start + self.batch])))
            return parts

        if count == 1:
            return np.concatenate(work(0))
        with ThreadPoolExecutor(count) as pool:
            shares = list(pool.map(work, range(count)))
        return np.concatenate([shares[i % count][i // count] for i in range(len(starts))])

    def _scores(self, execute: Execute, part: np.ndarray) -> np.ndarray:
        """The scores of at most `batch` inputs; the runtime always gets `batch` of them, the last one repeated."""
        self._check(part)
        missing = self.batch - len(part)
        full = np.concatenate([part, np.repeat(part[-1:], missing, 0)]) if missing else part
        return _scores(execute(full), len(full))[: len(part)]

    def _check(self, inputs: np.ndarray) -> None:
        shape = self.input.shape
        fits = shape is None or (
            len(shape) == inputs.ndim - 1
            and all(want in (None, got) for want, got in zip(shape, inputs.shape[1:], strict=True))
        )
        if not fits or str(inputs.dtype) != self.input.dtype:
            raise BadInput(
                f"The model's input '{self.input.name}' is {self.input}; found {inputs.dtype}{list(inputs.shape)}; "
                "q8emu casts nothing."
            )


def open_classifier(
    path: Path | str,
    backend: str | None = None,
    numerics: str | None = None,
    threads: int = 0,
    batch: int | None = None,
) -> Classifier:
    """Open a model file for classification.

    Args:
        path: an .onnx, .tflite, TorchScript or q8emu.torch file; its content decides what it is.
        backend: "q8emu", "torch" or the name of an oracle that runs such files; by default the one of `DEFAULTS`, and
            "q8emu" where `numerics` is given.
        numerics: profile of the backend q8emu; by default the one of `DEFAULTS`.
        threads: of the runtime; 0 is one per core.
        batch: inputs per run where the file leaves the batch open.

    Raises:
        Q8Error: one sentence why the model or an option cannot be used.

    Example:
        >>> from q8emu.models import default_model
        >>> opened = open_classifier(default_model())
        >>> opened.backend, str(opened.input), opened.input.layout
        ('ort', 'float32[N, 3, 32, 32]', 'NCHW')
    """
    model = Path(path)
    if not model.is_file():
        raise BadInput(f"There is no model file '{model}'; expected an .onnx, .tflite or .pt file.")
    if threads < 0 or (batch is not None and batch < 1):
        raise BadInput("--threads must be 0 or more and --batch 1 or more.")
    kind = model_format(model)
    if kind == "PyTorch" and not is_torchscript(model):
        return _module(model, backend or (Q8EMU if numerics else TORCH), threads or os.cpu_count() or 1, batch)
    own, profile = DEFAULTS[kind]
    chosen = backend or (Q8EMU if numerics else own)
    if numerics and chosen != Q8EMU:
        raise BadInput(f"--numerics {numerics} is for --backend {Q8EMU}; '{chosen}' has an arithmetic of its own.")
    workers = threads or os.cpu_count() or 1
    if chosen == Q8EMU:
        return _emulated(model, kind, numerics or profile, workers, batch, named=backend is not None)
    return _session(model, kind, chosen, workers, batch)


def _emulated(model: Path, kind: str, numerics: str, threads: int, batch: int | None, *, named: bool) -> Classifier:
    try:
        options = Options(numerics, threads=threads, batch=batch, shapes=input_shapes(model))
        emulator = Emulator(model, options)
        emulator.runner  # noqa: B018  lowered now, not after the data was read
    except Q8Error as problem:
        if named or kind != "PyTorch":
            raise
        raise type(problem)(
            f"{problem} --backend {TORCH} runs the code of the file inside PyTorch; name it for files that you trust."
        ) from problem
    if len(emulator.specs) != 1:
        raise _not_one_input(len(emulator.specs))
    spec, fixed = emulator.specs[0], emulator.samples_per_run
    size = batch or max(BATCH // fixed, 1) * fixed
    taken = ModelInput(spec.name, spec.dtype, spec.shape[1:])

    def execute(inputs: np.ndarray) -> Mapping[str, np.ndarray]:
        return emulator.run({spec.name: inputs}, tensors=()).outputs

    return Classifier(model, kind, Q8EMU, numerics, f"q8emu {version()}", taken, size, threads, (execute,))


def _session(model: Path, kind: str, name: str, threads: int, batch: int | None) -> Classifier:
    oracle = _backend(name, kind)
    side_by_side = kind == "TFLite"  # one image per run, too little for threads inside
    count, inner = (threads, 1) if side_by_side else (1, threads)
    sessions = [oracle.open(model, (), threads=inner) for _ in range(count)]
    first = sessions[0]
    assert isinstance(first, FileSession)
    if len(first.inputs) != 1:
        raise _not_one_input(len(first.inputs))
    ((given, (dtype, shape)),) = first.inputs.items()
    fixed = shape[0] if shape else None
    if shape is None:
        shape = _traced_shape(model)
    if batch is not None and fixed not in (None, batch):
        raise BadInput(f"--batch {batch}: the model file fixes its batch to {fixed}; leave --batch out.")
    taken = ModelInput(given, dtype, None if shape is None else shape[1:])
    size, executes = fixed or batch or BATCH, tuple(_execute(session, given) for session in sessions)
    return Classifier(model, kind, name, None, oracle.version(), taken, size, threads, executes)


def _traced_shape(model: Path) -> tuple[int, ...] | None:
    """Shape of the one input of a TorchScript file that q8emu can read."""
    try:
        (spec,) = Emulator(model, Options(shapes=input_shapes(model))).specs
    except (Q8Error, ValueError):
        return None
    return spec.shape


def _module(model: Path, backend: str, threads: int, batch: int | None) -> Classifier:
    """A float model as `q8emu convert` writes it; loading it runs no code of the file."""
    if backend != TORCH:
        raise BadInput(f"--backend {backend}: the file is a float PyTorch model, which only --backend {TORCH} runs.")
    module, oracle = torch_model.load(model), as_it_comes(TORCH)
    if len(module.input_shapes) != 1:
        raise _not_one_input(len(module.input_shapes))
    ((name, shape),) = module.input_shapes.items()

    def execute(inputs: np.ndarray) -> Mapping[str, np.ndarray]:
        import torch

        with under(oracle.engine, threads), torch.no_grad():
            return {"output": module(torch.from_numpy(np.array(inputs))).numpy()}

    size = shape[0] or batch or BATCH
    taken = ModelInput(name, "float32", tuple(shape[1:]))
    return Classifier(model, "PyTorch", TORCH, None, oracle.version(), taken, size, threads, (execute,))


def _execute(session: OracleSession, name: str) -> Execute:
    return lambda inputs: session.run_plain({name: inputs})


def backends_for(kind: str) -> tuple[str, ...]:
    """The backends that run files of a format."""
    runtimes = [name for name, oracle in BACKENDS.items() if oracle.format == kind and name != "onnx-reference"]
    return (*([TORCH] if kind == "PyTorch" else []), *runtimes, Q8EMU)


def _backend(name: str, kind: str) -> Backend:
    if name not in backends_for(kind):
        raise BadInput(
            f"--backend {name}: the file is one of {kind}, which these backends run: {', '.join(backends_for(kind))}."
        )
    return as_it_comes(TORCH) if name == TORCH else BACKENDS[name]


def _not_one_input(found: int) -> BadInput:
    return BadInput(f"The model has {found} inputs; a classifier has one, the images.")


def _scores(outputs: Mapping[str, np.ndarray], count: int) -> np.ndarray:
    """The one output that has a score per class for each input."""
    fitting = [
        array.reshape(count, -1)
        for array in outputs.values()
        if array.ndim >= 2 and len(array) == count and array[0].size == max(array.shape[1:]) > 1
    ]
    if len(fitting) != 1:
        told = ", ".join(f"'{name}' {a.dtype}{list(a.shape)}" for name, a in outputs.items())
        raise BadInput(f"The model's outputs are {told}; a classifier has one output [N, classes].")
    if fitting[0].dtype.kind == "f" and np.isnan(fitting[0]).any():
        raise BadInput("The model gives NaN as a score, so no class is the first; look for a division by zero in it.")
    return fitting[0]
