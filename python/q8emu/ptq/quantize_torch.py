# SPDX-License-Identifier: Apache-2.0
"""Post-training quantization by PyTorch: FX, an engine's default configuration, TorchScript as the result.

uint8 weights are not on offer: the engines' packed weights are qint8 only (docs/convert.md shows PyTorch refuse them).
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from q8emu.backends.torch import save_traced, under
from q8emu.datasets.pixels import Layout, as_input, layout_of
from q8emu.errors import BackendUnavailable, BadInput, UnsupportedOperator
from q8emu.ptq.torch_model import import_torch, load

BACKENDS = ("fbgemm", "onednn", "qnnpack", "x86")
_BATCH = 100  # images per calibration step; the observers see batches, so it decides the scales

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class TorchQuantized:
    """What was written.

    Attributes:
        backend: whose configuration, and who packed the weights.
        samples: images that it was calibrated on.
        modules: how many quantized modules of each kind it has.
        bytes: of the file.
        notes: what is not as in the float model.
    """

    backend: str
    samples: int
    modules: dict[str, int]
    bytes: int
    notes: tuple[str, ...]


def quantize_torch(
    model: Path | Any,
    output: Path,
    *,
    backend: str = "fbgemm",
    images: np.ndarray,
    trust: bool = False,
    progress: Progress | None = None,
) -> TorchQuantized:
    """Quantize a float PyTorch model by FX, calibrated on images, and write it as TorchScript.

    Activations are quint8 with one scale, weights qint8 (per output channel, but for qnnpack). A Softmax at the end is
    left out: PyTorch computes it in float, and the class is the same without it. A file that is there is replaced.

    Args:
        model: a .pt file (see `torch_model.load`) or a torch.nn.Module; a module takes NCHW unless its `input_shapes`
            says otherwise.
        output: path of the .pt file.
        backend: fbgemm, onednn, qnnpack or x86.
        images: uint8[N, C, H, W] to calibrate on.
        trust: unpickle a foreign module, which runs its code?
        progress: told (done, total, what).

    Raises:
        BackendUnavailable: PyTorch is missing, or has no such engine here.
        BadInput: an argument does not fit.
        BadModel: the file is damaged.
        UnsupportedOperator: FX cannot trace or quantize the model.
    """
    torch = import_torch()
    _check(torch, backend, images)
    module = load(model, trust=trust) if isinstance(model, (str, Path)) else model
    layout = _layout(module, images)
    with under(backend, torch.get_num_threads()), _explained():
        logits, notes = _without_softmax(torch, module)
        made = _quantized(torch, logits, backend, lambda part: _tensor(torch, part, layout), images, progress)
        modules = _modules(made)
        if not modules:
            raise UnsupportedOperator("FX quantizes no layer of this model; expected convolutions or linear layers.")
        _write(made, _tensor(torch, images[:1], layout), Path(output))
    return TorchQuantized(backend, len(images), modules, Path(output).stat().st_size, tuple(notes))


def _check(torch: Any, backend: str, images: np.ndarray) -> None:
    if backend not in BACKENDS:
        raise BadInput(f"The backend is '{backend}'; expected {', '.join(BACKENDS)}.")
    engines = torch.backends.quantized.supported_engines
    if backend not in engines:
        raise BackendUnavailable(f"This PyTorch has no engine '{backend}'; it has {', '.join(engines)}.")
    if images.dtype != np.uint8 or images.ndim != 4 or not len(images):
        raise BadInput(f"The images are {images.dtype}{list(images.shape)}; expected uint8[N, C, H, W], N at least 1.")


def _layout(module: Any, images: np.ndarray) -> Layout:
    shapes = getattr(module, "input_shapes", None)
    if not shapes:
        return "NCHW"
    if len(shapes) != 1:
        raise BadInput(f"The model has {len(shapes)} inputs; expected one that takes images.")
    ((name, shape),) = shapes.items()
    layout = layout_of(shape, images.shape[1:])
    if layout is None:
        raise BadInput(f"The input '{name}' has shape {list(shape)}; the images are {list(images.shape[1:])}.")
    return layout


def _tensor(torch: Any, images: np.ndarray, layout: Layout) -> Any:
    return torch.from_numpy(as_input(images, "float32", layout))


def _without_softmax(torch: Any, module: Any) -> tuple[Any, list[str]]:
    """The module as a graph of calls, without a Softmax that nothing follows."""
    traced = torch.fx.symbolic_trace(module.eval())
    last = next(node for node in traced.graph.nodes if node.op == "output")
    node = last.args[0]
    if not _is_softmax(torch, traced, node):
        return traced, []
    node.replace_all_uses_with(node.args[0])
    traced.graph.erase_node(node)
    traced.recompile()
    return traced, ["The Softmax at the end is left out: the results are logits, of the same class."]


def _is_softmax(torch: Any, traced: Any, node: Any) -> bool:
    if getattr(node, "op", "") == "call_module":
        return isinstance(traced.get_submodule(node.target), torch.nn.Softmax)
    return getattr(node, "target", "") in (torch.softmax, torch.nn.functional.softmax, "softmax")


def _quantized(
    torch: Any,
    module: Any,
    backend: str,
    feed: Callable[[np.ndarray], Any],
    images: np.ndarray,
    progress: Progress | None,
) -> Any:
    from torch.ao.quantization import get_default_qconfig_mapping
    from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

    prepared = prepare_fx(module, get_default_qconfig_mapping(backend), (feed(images[:1]),))
    with torch.no_grad():
        for start in range(0, len(images), _BATCH):
            part = images[start : start + _BATCH]
            prepared(feed(part))
            if progress is not None:
                progress(start + len(part), len(images), "calibrating")
    return convert_fx(prepared)


def _modules(module: Any) -> dict[str, int]:
    kinds = [type(m).__name__ for m in module.modules() if type(m).__module__.startswith("torch.ao.nn.")]
    kinds = [kind for kind in kinds if "Packed" not in kind]
    return {kind: kinds.count(kind) for kind in sorted(set(kinds))}


def _write(module: Any, example: Any, output: Path) -> None:
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".q8emu-") as folder:
        save_traced(module, (example,), Path(folder) / "traced.pt").replace(output)


@contextmanager
def _explained() -> Iterator[None]:
    """What PyTorch raises about a model, as one sentence."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (AttributeError, LookupError, NotImplementedError, RuntimeError, TypeError, ValueError) as problem:
        raise UnsupportedOperator(
            f"PyTorch's FX cannot quantize this model: {' '.join(str(problem).split())[:300]}."
        ) from problem
