# SPDX-License-Identifier: Apache-2.0
"""ONNX Runtime on the CPU: three oracles that differ in their session options, each observed without disturbing it.

Every session is two sessions: the plain one, whose final outputs count, and a tapped one that shows the quantized
tensors. The tapped one stands for the plain one only if both execute the same operators and give the same final bits;
each run checks the bits.
"""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from q8emu.backends import tapping
from q8emu.backends.cpu import this_cpu
from q8emu.backends.executed import Executed
from q8emu.errors import BackendUnavailable
from q8emu.graph import Declared
from q8emu.trace import Trace

INT8_ALLOWED = "session.qdqisint8allowed"
PRECISE = "session.x64quantprecision"
_NUMPY = {"float": "float32", "double": "float64"}  # where ONNX Runtime calls a dtype otherwise


@dataclass(frozen=True)
class OnnxRuntime:
    """One way to configure ONNX Runtime.

    Attributes:
        name: how `--against` calls it.
        describe: what it is, in one line.
        optimized: are all graph optimizations on?
        config: session configuration entries.
        pairs: of u8×s8 products, which CPUs with AVX2 and no VNNI saturate: "exact" keeps them so there, "saturated"
            needs such a CPU; "" takes them as they come.
    """

    name: str
    describe: str
    optimized: bool = True
    config: Mapping[str, str] = field(default_factory=dict)
    pairs: Literal["", "exact", "saturated"] = ""
    format: str = "ONNX"

    def version(self) -> str:
        """Name and version of the runtime."""
        import onnxruntime

        return f"onnxruntime {onnxruntime.__version__}"

    def why_unavailable(self) -> str | None:
        """None, or one sentence why it cannot run on this machine."""
        try:
            import onnxruntime  # noqa: F401
        except ImportError as problem:
            return (
                f"oracle '{self.name}' needs onnxruntime (pip install onnxruntime), but it does not import: {problem}"
            )
        if self.pairs == "saturated" and not this_cpu().saturates_pairs:
            return (
                f"oracle '{self.name}' is ONNX Runtime on a CPU with AVX2 and without VNNI; this one is "
                f"{this_cpu().describe()}"
            )
        return None

    def open(self, model: Path, taps: Sequence[str], *, threads: int = 1) -> OrtSession:
        """Open the plain and the tapped session.

        Raises:
            BackendUnavailable: onnxruntime is missing, or it refuses this model.
        """
        problem = self.why_unavailable()
        if problem is not None:
            raise BackendUnavailable(problem)
        try:
            return OrtSession(self, Path(model), taps, threads)
        except BackendUnavailable:
            raise
        except Exception as refusal:  # onnxruntime and protobuf raise many types without a common base
            raise BackendUnavailable(
                f"oracle '{self.name}': {self.version()} refuses the model: {_first_line(refusal)}"
            ) from refusal


@dataclass(frozen=True)
class _Tapping:
    """A tapped session, what it executes, which taps do not exist in it, and why it disturbs if it does."""

    tapped: tapping.Tapped
    session: Any
    executed: Executed
    hidden: tuple[str, ...] = ()
    disturbed: str | None = None


class OrtSession:
    """One model opened in ONNX Runtime, plain and tapped."""

    def __init__(self, oracle: OnnxRuntime, path: Path, taps: Sequence[str], threads: int) -> None:
        """Open both sessions and find a way to tap that leaves the executed operators alone."""
        self._oracle, self._threads = oracle, threads
        self._folder = path.resolve().parent
        self._model = tapping.load(path)
        self._config = dict(oracle.config)
        self._executed = self._choose_precision()
        self._plain = self._session(self._model)
        self._outputs = [value.name for value in self._plain.get_outputs()]
        self.inputs = {value.name: _declared(value) for value in self._plain.get_inputs()}
        found = self._tap(taps)
        self._tapped, self._session_tapped, seen = found.tapped, found.session, found.executed
        self._disturbed, self.hidden = found.disturbed, found.hidden
        integers = [name for name in self._tapped.taps if name not in self._outputs]
        self._float_nodes = seen.float_nodes(integers + self._quantized_outputs(), self._float_outputs())
        self._provenance = self._describe()

    def run(self, inputs: Mapping[str, np.ndarray]) -> Trace:
        """Run one batch through both sessions and compare their final outputs bit for bit; without taps one runs."""
        names = list(dict.fromkeys([*self._outputs, *self._tapped.taps]))
        plain = self.run_plain(inputs)
        seen = self._outcome(self._session_tapped, names, inputs) if self._tapped.taps else plain
        tensors = {name: self._unshift(name, seen[name]) for name in self._tapped.taps}
        return Trace(
            source=self._oracle.name,
            tensors=tensors,
            outputs=plain,
            provenance=self._provenance,
            float_nodes=self._float_nodes,
            unordered=frozenset() if this_cpu().sums_by_8 else frozenset({"Softmax"}),
            undisturbed=self._disturbed or _first_difference(plain, seen),
        )

    def run_plain(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run one batch through the plain session alone."""
        return self._outcome(self._plain, self._outputs, inputs)

    def _outcome(self, session: Any, names: Sequence[str], inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        feeds = {name: np.ascontiguousarray(array) for name, array in inputs.items()}
        try:
            return dict(zip(names, session.run(names, feeds), strict=True))
        except Exception as refusal:  # see open
            raise BackendUnavailable(f"oracle '{self._oracle.name}' fails to run: {_first_line(refusal)}") from refusal

    def _unshift(self, name: str, array: np.ndarray) -> np.ndarray:
        return (array ^ np.uint8(128)).view(np.int8) if name in self._tapped.shifted else array

    def _choose_precision(self) -> Executed:
        """Look at what runs; ask for exact u8×s8 products where this CPU would saturate them."""
        executed = self._look(self._model)[1]
        if not (self._oracle.pairs == "exact" and this_cpu().saturates_pairs and executed.mixes_u8_and_s8()):
            return executed
        self._config[PRECISE] = "1"
        saturates = "this CPU has AVX2 without VNNI, so ONNX Runtime saturates pairs of u8×s8 products"
        otherwise = "compare on a CPU with VNNI" + (", or with --against ort-unfused" if self._oracle is ORT else "")
        try:
            precise = self._look(self._model)[1]
        except Exception as refusal:  # see open
            raise BackendUnavailable(
                f"oracle '{self._oracle.name}': {saturates}, and it refuses this model with {PRECISE}=1, which would "
                f"make it exact ({_first_line(refusal)}); {otherwise}"
            ) from refusal
        if precise.mixes_u8_and_s8(large=True):
            raise BackendUnavailable(
                f"oracle '{self._oracle.name}': {saturates}, and {PRECISE}=1 makes those with constant int8 weights "
                f"exact only where it can rewrite them, which it does not for all of this model's; {otherwise}"
            )
        return precise

    def _tap(self, taps: Sequence[str]) -> _Tapping:
        """The first way of tapping under which the same operators run; else the plain way, and why it disturbs."""
        wanted = self._executed.arithmetic()
        first = None
        for only_existing, as_uint8 in ((False, False), (False, True), (True, False), (True, True)):
            folder = self._folder if as_uint8 else None
            shown = list(taps)
            if only_existing:
                untouched = self._look(tapping.tapped(self._model, (), folder).model)[1]
                shown = [name for name in taps if untouched.computes(name)]
            tapped = tapping.tapped(self._model, shown, folder)
            session, seen = self._look(tapped.model)
            if seen.arithmetic() == wanted:
                known = {name for node in self._model.graph.node for name in node.output}
                hidden = tuple(name for name in taps if name in known and name not in shown)
                return _Tapping(tapped, session, seen, hidden)
            plain, other = wanted - seen.arithmetic(), seen.arithmetic() - wanted
            reason = f"looking changes what it executes: {_counts(plain)} in the plain session became {_counts(other)}"
            first = first or _Tapping(tapped, session, seen, disturbed=reason)
        assert first is not None
        return first

    def _session(self, model: Any, dump: Path | None = None) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads, options.inter_op_num_threads = self._threads, 1
        levels = onnxruntime.GraphOptimizationLevel
        options.graph_optimization_level = levels.ORT_ENABLE_ALL if self._oracle.optimized else levels.ORT_DISABLE_ALL
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(self._folder))
        for key, value in self._config.items():
            options.add_session_config_entry(key, value)
        if dump is not None:
            options.optimized_model_filepath = str(dump)
            prefix = "session.optimized_model_external_initializers"
            options.add_session_config_entry(f"{prefix}_file_name", "weights.bin")
            options.add_session_config_entry(f"{prefix}_min_size_in_bytes", "1024")
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def _look(self, model: Any) -> tuple[Any, Executed]:
        """Open a session and read the graph that it executes."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "executed.onnx"
            session = self._session(model, dump=file)
            return session, Executed(tapping.load(file).graph)

    def _quantized_outputs(self) -> list[str]:
        return [value.name for value in self._plain.get_outputs() if "int" in value.type]

    def _float_outputs(self) -> list[str]:
        return [value.name for value in self._plain.get_outputs() if "int" not in value.type]

    def _describe(self) -> dict[str, str]:
        level = "ORT_ENABLE_ALL" if self._oracle.optimized else "ORT_DISABLE_ALL"
        options = [f"graph_optimization_level={level}", *(f"{k}={v}" for k, v in self._config.items())]
        told = {
            "version": self._oracle.version(),
            "options": ", ".join(options),
            "threads": str(self._threads),
            "cpu": this_cpu().describe(),
            "platform": platform.platform(),
            "operators": _counts(self._executed.arithmetic()),
        }
        if self._tapped.shifted:
            told["taps"] = (
                f"{len(self._tapped.shifted)} int8 tensors, which ONNX Runtime holds as uint8, are read as such"
            )
        if this_cpu().saturates_pairs:
            kept = PRECISE in self._config or not self._executed.mixes_u8_and_s8()
            told["u8×s8"] = (
                "exact" if kept else "this CPU has AVX2 without VNNI: pairs of u8×s8 products saturate to int16"
            )
        return told


def _declared(value: Any) -> Declared:
    """Its dtype and shape, None where an axis is open."""
    kind = str(value.type).removeprefix("tensor(").removesuffix(")")
    return _NUMPY.get(kind, kind), tuple(size if isinstance(size, int) else None for size in value.shape)


def _counts(counter: Mapping[str, int]) -> str:
    return ", ".join(f"{counter[name]} {name}" for name in sorted(counter)) or "nothing"


def _first_difference(plain: Mapping[str, np.ndarray], seen: Mapping[str, np.ndarray]) -> str | None:
    for name, array in plain.items():
        other = seen[name]
        if array.dtype != other.dtype or array.shape != other.shape or array.tobytes() != other.tobytes():
            return f"looking changes its final output '{name}': the tapped session gives other bits than the plain one"
    return None


def _first_line(problem: BaseException) -> str:
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(problem).__name__


ORT = OnnxRuntime(
    "ort",
    "ONNX Runtime, all optimizations, integer kernels for int8 activations too",
    True,
    {INT8_ALLOWED: "1"},
    "exact",
)
ORT_DEFAULT = OnnxRuntime("ort-default", "ONNX Runtime as it comes, no session options")
ORT_UNFUSED = OnnxRuntime(
    "ort-unfused", "ONNX Runtime without graph optimizations: Q/DQ nodes around float operators", False, pairs="exact"
)
ORT_X64_AVX2 = OnnxRuntime(
    "ort-x64-avx2",
    "ONNX Runtime as ort, on a CPU with AVX2 and without VNNI",
    config={INT8_ALLOWED: "1"},
    pairs="saturated",
)
