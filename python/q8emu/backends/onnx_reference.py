# SPDX-License-Identifier: Apache-2.0
"""The reference evaluator of the onnx package: Python and numpy, slow, close to the text of the standard."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from q8emu.backends.cpu import this_cpu
from q8emu.backends.executed import Executed
from q8emu.errors import BackendUnavailable
from q8emu.trace import Trace

OPSET = 21  # the evaluator implements DequantizeLinear from version 19 and QuantizeLinear in its present form from 21


class OnnxReference:
    """onnx.reference.ReferenceEvaluator."""

    name = "onnx-reference"
    describe = "the reference evaluator of the onnx package"
    format = "ONNX"

    def version(self) -> str:
        """Name and version of the runtime."""
        import onnx

        return f"onnx {onnx.__version__}"

    def why_unavailable(self) -> str | None:
        """None, or one sentence why it cannot run on this machine."""
        try:
            import onnx.reference  # noqa: F401
        except ImportError as problem:
            return f"oracle '{self.name}' needs onnx, which does not import here ({problem}); pip install onnx"
        return None

    def open(self, model: Path, taps: Sequence[str], *, threads: int = 1) -> ReferenceSession:
        """Load the model, through the version converter where the evaluator lacks its opset.

        Raises:
            BackendUnavailable: onnx is missing, or the evaluator does not know an operator of the model.
        """
        problem = self.why_unavailable()
        if problem is not None:
            raise BackendUnavailable(problem)
        return ReferenceSession(Path(model), taps)


class ReferenceSession:
    """One model in the reference evaluator; it shows every tensor, so that tapping cannot disturb it."""

    hidden: tuple[str, ...] = ()

    def __init__(self, path: Path, taps: Sequence[str]) -> None:
        """Build the evaluator."""
        import onnx

        try:
            model = onnx.load(str(path))
        except Exception as refusal:  # protobuf and onnx raise several types
            raise BackendUnavailable(f"oracle 'onnx-reference': onnx cannot load the model: {refusal}") from refusal
        _refuse_foreign_operators(model)
        self._evaluator, model, how = _evaluator(model)
        defined = {name for node in model.graph.node for name in node.output}
        self._taps = [name for name in taps if name in defined]
        self._outputs = [value.name for value in model.graph.output]
        kinds = {value.name: value.type.tensor_type.elem_type for value in model.graph.output}
        floats = [name for name in self._outputs if kinds[name] in _FLOATS]
        self._float_nodes = Executed(model.graph).float_nodes(
            list(dict.fromkeys([*self._taps, *(name for name in self._outputs if name not in floats)])), floats
        )
        self._provenance = {
            "version": f"onnx {onnx.__version__}",
            "options": f"ReferenceEvaluator, {how}, numpy {np.__version__}",
            "threads": "1",
            "cpu": this_cpu().describe(),
            "platform": platform.platform(),
        }

    def run(self, inputs: Mapping[str, np.ndarray]) -> Trace:
        """Run one batch."""
        found = self._values(inputs)
        return Trace(
            source=OnnxReference.name,
            tensors={name: np.asarray(found[name]) for name in self._taps},
            outputs={name: np.asarray(found[name]) for name in self._outputs},
            provenance=self._provenance,
            float_nodes=self._float_nodes,
            unordered=frozenset({"Softmax"}),
        )

    def run_plain(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run one batch for its final outputs."""
        found = self._values(inputs)
        return {name: np.asarray(found[name]) for name in self._outputs}

    def _values(self, inputs: Mapping[str, np.ndarray]) -> Mapping[str, Any]:
        """Every tensor of one run."""
        try:
            with np.errstate(all="ignore"):
                found: Mapping[str, Any] = self._evaluator.run(None, dict(inputs), intermediate=True)
        except Exception as refusal:  # numpy, onnx and the evaluator raise many types
            reason = f"{type(refusal).__name__}: {refusal}".splitlines()[0][:300]
            raise BackendUnavailable(f"oracle 'onnx-reference' fails to run this model: {reason}") from refusal
        return found


_FLOATS = frozenset({0, 1, 10, 11, 16})  # TensorProto: unknown, FLOAT, FLOAT16, DOUBLE, BFLOAT16


def _refuse_foreign_operators(model: Any) -> None:
    foreign = sorted({f"{n.domain}.{n.op_type}" for n in model.graph.node if n.domain not in ("", "ai.onnx")})
    if foreign:
        raise BackendUnavailable(
            "oracle 'onnx-reference': the evaluator knows the operators of ONNX only, and the model has "
            + ", ".join(foreign)
        )


def _evaluator(model: Any) -> tuple[Any, Any, str]:
    """The evaluator, the model that it runs, and how that came about."""
    from onnx import version_converter
    from onnx.reference import ReferenceEvaluator

    opset = max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=0)
    try:
        return ReferenceEvaluator(model), model, f"opset {opset}"
    except Exception as problem:  # the evaluator raises several types
        if opset >= OPSET:
            raise _refused(problem) from problem
    try:
        converted = version_converter.convert_version(model, OPSET)
        return ReferenceEvaluator(converted), converted, f"opset {opset} converted to {OPSET}"
    except Exception as problem:  # see above, and the converter's own
        raise _refused(problem) from problem


def _refused(problem: Exception) -> BackendUnavailable:
    reason = " ".join(str(problem).split())[:300]
    return BackendUnavailable(f"oracle 'onnx-reference': the evaluator cannot run this model: {reason}")
