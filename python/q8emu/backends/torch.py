# SPDX-License-Identifier: Apache-2.0
"""PyTorch on the CPU, one oracle per engine of its quantized operators, observed without disturbing it.

A session is the file loaded twice under the engine, which also decides how weights are packed: one module that runs as
it is and whose results count, and one whose graph, with the calls of its submodules inlined, has every tensor as a
further result. Each run checks that both give the same final bits.

The oracle runs the code of the file inside PyTorch. Reading a file does not; this does, so it has to be named.
"""

from __future__ import annotations

import platform
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from q8emu.backends.cpu import this_cpu
from q8emu.errors import BackendUnavailable, BadInput
from q8emu.graph import Declared, unique_name
from q8emu.trace import Trace

_PACKED = "._packed_params"


@dataclass(frozen=True)
class Torch:
    """One engine.

    Attributes:
        name: how `--against` calls it.
        describe: what it is, in one line.
        engine: how PyTorch calls it.
        instructions: of the CPU, where the engine computes otherwise with others; see `Cpu.fbgemm`.
    """

    name: str
    describe: str
    engine: str
    instructions: str = ""
    format: str = "PyTorch"

    def version(self) -> str:
        """Name and version of the runtime."""
        from importlib import metadata

        return f"torch {metadata.version('torch')}"

    def why_unavailable(self) -> str | None:
        """None, or one sentence why it cannot run on this machine."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                import torch
        except ImportError as problem:
            return f"oracle '{self.name}' needs PyTorch (pip install 'q8emu[torch]'), which does not import: {problem}"
        engines = torch.backends.quantized.supported_engines
        if self.engine not in engines:
            return f"oracle '{self.name}': this PyTorch has no engine '{self.engine}'; it has {', '.join(engines)}"
        if self.instructions not in ("", this_cpu().fbgemm):
            return (
                f"oracle '{self.name}' is fbgemm on a CPU with {self.instructions}; on this one, "
                f"{this_cpu().describe()}, it rounds and saturates otherwise: see the profiles torch-fbgemm and "
                "torch-fbgemm-avx2"
            )
        return None

    def open(self, model: Path, taps: Sequence[str], *, threads: int = 1) -> TorchSession:
        """Load the file twice.

        Raises:
            BackendUnavailable: PyTorch is missing, or it refuses this model.
        """
        problem = self.why_unavailable()
        if problem is not None:
            raise BackendUnavailable(problem)
        try:
            with under(self.engine, threads):
                return TorchSession(self, Path(model), taps, threads)
        except (OSError, RuntimeError, ValueError) as refusal:  # what torch raises
            raise BackendUnavailable(
                f"oracle '{self.name}': {self.version()} refuses the model: {sentence(refusal)}"
            ) from refusal


class TorchSession:
    """One model opened in one engine, plain and with its inner tensors shown."""

    hidden: tuple[str, ...] = ()

    def __init__(self, oracle: Torch, model: Path, taps: Sequence[str], threads: int) -> None:
        """Load both modules."""
        import torch

        self._oracle, self._taps, self._threads = oracle, frozenset(taps), threads
        self._plain = torch.jit.load(str(model), map_location="cpu").eval()
        self._names = [a.name for a in self._plain.forward.schema.arguments[1:]]
        self.inputs: dict[str, Declared] = dict.fromkeys(self._names, ("float32", None))
        if taps:
            self._load_shown(model)
        self._provenance = {
            "version": oracle.version(),
            "options": f"engine {oracle.engine}, numpy {np.__version__}",
            "threads": str(threads),
            "cpu": this_cpu().describe(),
            "platform": platform.platform(),
        }

    def run(self, inputs: Mapping[str, np.ndarray]) -> Trace:
        """Run one batch through both and compare their final results bit for bit."""
        plain = self.run_plain(inputs)
        if not self._taps:
            return Trace(self._oracle.name, {}, plain, provenance=self._provenance)
        shown = self._call(lambda *feeds: self._tapped(self._owner._c, *feeds), inputs)
        final, inner = shown[: self._results], shown[self._results :]
        seen = outputs(final if self._results > 1 else final[0])
        named = seen | self._named(inner)
        return Trace(
            source=self._oracle.name,
            tensors={name: named[name] for name in named if name in self._taps},
            outputs=plain,
            provenance=self._provenance,
            undisturbed=_first_difference(plain, seen),
        )

    def _load_shown(self, model: Path) -> None:
        """The second module, whose graph shows its tensors."""
        import torch

        self._owner = torch.jit.load(str(model), map_location="cpu").eval()
        graph = self._owner.inlined_graph
        self._results = len(list(graph.outputs()))
        self._bases = _show_tensors(graph)
        graph.makeMultiOutputIntoTuple()
        self._tapped = torch._C._create_function_from_graph("tapped", graph)

    def run_plain(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run one batch through the module as it is."""
        return outputs(self._call(self._plain, inputs))

    def _call(self, function: Callable[..., Any], inputs: Mapping[str, np.ndarray]) -> Any:
        import torch

        feeds = [torch.from_numpy(np.array(inputs[name])) for name in self._names]
        try:
            with under(self._oracle.engine, self._threads), torch.no_grad():
                return function(*feeds)
        except (RuntimeError, ValueError) as refusal:  # what torch raises
            raise BackendUnavailable(f"oracle '{self._oracle.name}' fails to run: {sentence(refusal)}") from refusal

    def _named(self, tensors: Sequence[Any]) -> dict[str, np.ndarray]:
        """The quantized ones by the names that the reader gives them, in the order of the code."""
        found: dict[str, np.ndarray] = {}
        taken = set(self._names)
        for base, tensor in zip(self._bases, tensors, strict=True):
            if tensor.is_quantized:
                name = unique_name(base, len(found), taken)
                taken.add(name)
                found[name] = _array(tensor)
        return found


def save_traced(module: Any, example: Sequence[Any], path: Path) -> Path:
    """Trace a module on an example and write the TorchScript file.

    Raises:
        BadInput: PyTorch cannot trace it, or there is no example.
    """
    if not example:
        raise BadInput("A PyTorch module has to be traced: give the tensors of one call (example=(x,)).")
    try:
        import torch

        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            torch.jit.save(torch.jit.trace(module, tuple(example)), str(path))
    except (AttributeError, ImportError, OSError, RuntimeError, TypeError, ValueError) as problem:  # what torch raises
        raise BadInput(f"PyTorch cannot trace the module on the example: {sentence(problem)}") from problem
    return path


def as_it_comes(name: str) -> Torch:
    """PyTorch with the engine that it chooses by itself; under fbgemm's name where it is not installed."""
    try:
        import torch
    except ImportError:
        return Torch(name, "PyTorch as it comes", "fbgemm")
    return Torch(name, "PyTorch as it comes", str(torch.backends.quantized.engine))


@contextmanager
def under(engine: str, threads: int) -> Iterator[None]:
    """Set PyTorch's engine and number of threads, which are global, for a while; its advice to move on is not shown."""
    import torch

    before = torch.backends.quantized.engine, torch.get_num_threads()
    torch.backends.quantized.engine = engine
    torch.set_num_threads(threads)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.backends.quantized.engine = before[0]
        torch.set_num_threads(before[1])


def _show_tensors(graph: Any) -> list[str]:
    """Make every tensor that an operator computes a further result of the graph; what each is called."""
    bases = []
    for node in graph.nodes():
        if node.kind().partition("::")[0] not in ("aten", "quantized"):
            continue
        for value in node.outputs():
            if str(value.type()) == "Tensor":
                graph.registerOutput(value)
                bases.append(_base(node))
    return bases


def _base(node: Any) -> str:
    """The module that the node's packed weights are in, else the operator."""
    for value in node.inputs():
        if "PackedParams" in str(value.type()):
            path = _path(value.node())
            while path.endswith(_PACKED):
                path = path.removesuffix(_PACKED)
            return path
    return str(node.kind().partition("::")[2]).removesuffix("_")


def _path(node: Any) -> str:
    """The attributes that lead from the model to this one."""
    names = []
    while node.kind() == "prim::GetAttr":
        names.append(node.s("name"))
        node = next(node.inputs()).node()
    return ".".join(reversed(names))


def outputs(result: Any) -> dict[str, np.ndarray]:
    """What a module returns, by the names that the reader gives its outputs; quantized tensors as integers."""
    if not isinstance(result, (list, tuple)):
        return {"output": _array(result)}
    if len(result) == 1:
        return {"output": _array(result[0])}
    return {f"output{i}": _array(tensor) for i, tensor in enumerate(result)}


def _array(tensor: Any) -> np.ndarray:
    plain = tensor.int_repr() if tensor.is_quantized else tensor
    return np.ascontiguousarray(plain.detach().numpy())


def _first_difference(plain: Mapping[str, np.ndarray], seen: Mapping[str, np.ndarray]) -> str | None:
    for name, array in plain.items():
        other = seen[name]
        if array.dtype != other.dtype or array.shape != other.shape or array.tobytes() != other.tobytes():
            return f"showing inner tensors changes its final output '{name}'"
    return None


def sentence(problem: BaseException) -> str:
    """What PyTorch says of a problem in the end, without its traceback."""
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(problem).__name__


TORCH_FBGEMM = Torch("torch-fbgemm", "PyTorch, engine fbgemm, with AVX-512 and VNNI", "fbgemm", "AVX-512 and VNNI")
TORCH_FBGEMM_AVX2 = Torch("torch-fbgemm-avx2", "PyTorch, engine fbgemm, with AVX2 alone", "fbgemm", "AVX2")
TORCH_ONEDNN = Torch("torch-onednn", "PyTorch, engine onednn", "onednn")
TORCH_QNNPACK = Torch("torch-qnnpack", "PyTorch, engine qnnpack", "qnnpack")
TORCH_X86 = Torch("torch-x86", "PyTorch, engine x86: fbgemm or onednn, operator by operator", "x86")
