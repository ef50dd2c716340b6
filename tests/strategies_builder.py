# SPDX-License-Identifier: Apache-2.0
"""A legal quantized ONNX model under construction, with the values that its tensors take on the drawn input.

The values come from ONNX Runtime's float operators, one node at a time. They only serve to choose scales (so that
outputs fit, saturate or land on ties); no test compares anything with them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from strategies_numbers import STYLES, Chooser, limits, output_params, scale, values, zero_point

MICROSOFT = "com.microsoft"
SPELLINGS = ("qdq", "qoperator")
Attributes = Mapping[str, Any]


@dataclass(frozen=True)
class Tensor:
    """A quantized tensor of the model: its name, parameters, and (about) the values that it takes."""

    name: str
    values: np.ndarray
    scale: np.float32
    zero_point: int

    @property
    def dtype(self) -> str:
        """int8 or uint8."""
        return str(self.values.dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        """Static shape."""
        return self.values.shape

    def real(self) -> np.ndarray:
        """float32: scale * (values - zero_point)."""
        difference = self.values.astype(np.int32) - np.int32(self.zero_point)
        return np.asarray(difference.astype(np.float32) * self.scale, np.float32)


@dataclass(frozen=True)
class Case:
    """A model, its inputs, and how to tell which one it is."""

    model: bytes
    feeds: Mapping[str, np.ndarray]
    operators: tuple[str, ...]
    opset: int
    seed: int

    def __repr__(self) -> str:
        return f"Case({' '.join(self.operators)}; opset {self.opset}; seed {self.seed})"


class ModelBuilder:
    """Collects nodes, constants, inputs and outputs."""

    def __init__(self, chooser: Chooser, opset: int, spellings: Sequence[str] = SPELLINGS) -> None:
        self.c, self.opset, self.spellings = chooser, opset, tuple(spellings)
        self.style = chooser.pick(*STYLES)
        self.has_vectors = chooser.chance(6)  # scales of shape [1]; ONNX Runtime's fused operators refuse some of them
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}
        self.feeds: dict[str, np.ndarray] = {}
        self.outputs: dict[str, tuple[str, tuple[int, ...]]] = {}  # name → dtype and shape
        self.operators: list[str] = []
        self._real: dict[str, str] = {}
        self._counter = 0

    # Names, constants, nodes

    def fresh(self, stem: str) -> str:
        """A name that is not in use."""
        self._counter += 1
        return f"{stem}{self._counter}"

    def constant(self, stem: str, array: Any, dtype: str | None = None) -> str:
        """A new initializer, or an equal one that is there already."""
        value = np.asarray(array, dtype)
        for name, known in self.constants.items():
            same = known.dtype == value.dtype and known.shape == value.shape and known.tobytes() == value.tobytes()
            if same and self.c.chance(60):
                return name
        name = self.fresh(stem)
        self.constants[name] = value
        return name

    def node(
        self, op: str, inputs: Sequence[str], outputs: int | Sequence[str] = 1, domain: str = "", **attrs: Any
    ) -> list[str]:
        """Append a node and return the names of its outputs; attributes that are None are left out."""
        names = [self.fresh(op.lower()) for _ in range(outputs)] if isinstance(outputs, int) else list(outputs)
        given = {key: value for key, value in attrs.items() if value is not None}
        title = "" if self.c.chance(10) else self.fresh("node_")
        self.nodes.append(helper.make_node(op, list(inputs), names, title, domain=domain, **given))
        return names

    def is_qoperator(self, op: str, possible: bool = True) -> bool:
        """Is the next operator written in the QOperator form? Remembers the spelling for the report."""
        found = possible and self.c.pick(*self.spellings) == "qoperator"
        self.operators.append(f"{op}/{'qoperator' if found else 'qdq'}")
        return found

    # Quantized tensors

    def params(self, tensor_scale: Any, point: Any, dtype: str) -> list[str]:
        """Names of a scale and a zero point; the zero point may be absent where it is 0."""
        as_vector = np.ndim(tensor_scale) == 0 and self.has_vectors and self.c.chance(50)
        shape = (1,) if as_vector else np.shape(tensor_scale)
        name = self.constant("scale", np.reshape(np.asarray(tensor_scale, np.float32), shape))
        if not np.any(point) and dtype == "uint8" and self.c.chance(20):
            return [name]
        return [name, self.constant("zero_point", np.reshape(np.asarray(point), shape), dtype)]

    def both(self, tensor_scale: Any, point: Any, dtype: str) -> list[str]:
        """Names of a scale and a zero point that is never absent."""
        return [self.constant("scale", tensor_scale, "float32"), self.constant("zero_point", point, dtype)]

    def input(self, shape: Sequence[int], dtype: str | None = None) -> Tensor:
        """A quantized input of the model, or a float one behind a QuantizeLinear."""
        c = self.c
        dtype = dtype or c.pick("uint8", "int8")
        point, size = zero_point(c, dtype), scale(c, self.style)
        tensor = Tensor(self.fresh("x"), values(c, tuple(shape), dtype, point), size, point)
        if c.chance(50):
            self.feeds[tensor.name] = tensor.values
            return tensor
        real = self.fresh("float_x")
        noise = c.rng.uniform(-0.6, 0.6, tensor.shape).astype(np.float32) * size if c.chance(70) else np.float32(0)
        self.feeds[real] = np.asarray(tensor.real() + noise, np.float32)
        self.node("QuantizeLinear", [real, *self.params(size, point, dtype)], [tensor.name])
        return tensor

    def real(self, tensor: Tensor) -> str:
        """The dequantized tensor, through a DequantizeLinear of its own or a shared one."""
        if tensor.name not in self._real or self.c.chance(40):
            name = self.fresh("real")
            self.node(
                "DequantizeLinear", [tensor.name, *self.params(tensor.scale, tensor.zero_point, tensor.dtype)], [name]
            )
            self._real[tensor.name] = name
        return self._real[tensor.name]

    def described(self, real: np.ndarray, dtype: str, point: int | None = None) -> tuple[np.float32, int]:
        """Scale and zero point for an output with these real values."""
        point = zero_point(self.c, dtype) if point is None else point
        return output_params(self.c, real, dtype, point), point

    def defined(self, name: str, real: np.ndarray, params: tuple[np.float32, int], dtype: str) -> Tensor:
        """The tensor that an operator gives, with about the values it will have."""
        low, high = limits(dtype)
        with np.errstate(all="ignore"):
            q = np.rint(np.nan_to_num(real.astype(np.float64) / np.float64(params[0]))) + params[1]
        return Tensor(name, np.clip(q, low, high).astype(dtype), *params)

    def quantized(self, name: str, real: np.ndarray, params: tuple[np.float32, int], dtype: str) -> Tensor:
        """A QuantizeLinear behind a float tensor."""
        (out,) = self.node("QuantizeLinear", [name, *self.params(*params, dtype)])
        return self.defined(out, real, params, dtype)

    # The whole model

    def finish(self) -> Case:
        """The model as bytes."""
        opsets = [helper.make_opsetid("", self.opset)]
        if any(node.domain == MICROSOFT for node in self.nodes):
            opsets.append(helper.make_opsetid(MICROSOFT, 1))
        inputs = [_value(name, str(a.dtype), a.shape) for name, a in self.feeds.items()]
        outputs = [_value(name, dtype, shape) for name, (dtype, shape) in self.outputs.items()]
        constants = [numpy_helper.from_array(a, name) for name, a in self.constants.items()]
        graph = helper.make_graph(self.nodes, "generated", inputs, outputs, constants)
        model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
        return Case(model.SerializeToString(), self.feeds, tuple(self.operators), self.opset, self.c.seed)


def _value(name: str, dtype: str | None, shape: Sequence[int] | None) -> onnx.ValueInfoProto:
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype)) if dtype else TensorProto.UNDEFINED
    return helper.make_tensor_value_info(name, kind, shape) if dtype else onnx.ValueInfoProto(name=name)


@cache
def _options() -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return options


def evaluate(
    op: str, operands: Sequence[np.ndarray | None], opset: int, outputs: int = 1, **attrs: Any
) -> list[np.ndarray]:
    """The values of one float operator, by ONNX Runtime without optimizations."""
    import onnxruntime

    given = {key: value for key, value in attrs.items() if value is not None}
    names = ["" if a is None else f"i{k}" for k, a in enumerate(operands)]
    made = [f"o{k}" for k in range(outputs)]
    arrays = {name: a for name, a in zip(names, operands, strict=True) if a is not None}
    node = helper.make_node(op, names, made, **given)
    first = _value("i0", str(arrays["i0"].dtype), arrays["i0"].shape)
    constants = [numpy_helper.from_array(a, name) for name, a in arrays.items() if name != "i0"]
    graph = helper.make_graph([node], "one", [first], [_value(n, None, None) for n in made], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), _options(), providers=["CPUExecutionProvider"])
    return [np.asarray(a) for a in session.run(None, {"i0": arrays["i0"]})]
