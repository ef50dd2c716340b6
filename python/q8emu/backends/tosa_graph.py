# SPDX-License-Identifier: Apache-2.0
"""A canonical Graph as a TOSA graph: integer operators between RESCALEs, as MLIR lowers a quantized TFLite model.

Tensors keep the layout of the file; products and pools, which TOSA wants channels-last, get TRANSPOSEs around them.

Source: google-ai-edge and tensorflow, compiler/mlir/tosa/transforms/{legalize_tfl,legalize_common,legalize_utils}.cc;
arm/tosa-specification.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from q8emu.errors import BackendUnavailable
from q8emu.graph import Graph, Node, QuantParams
from q8emu.numerics import multiplier

LEFT_SHIFT = 20  # fraction bits of the operands of a sum
TO_LAST, TO_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)


class TosaGraph:
    """The TOSA graph under construction.

    Attributes:
        tensors: the TOSA tensor that holds each tensor of the canonical graph.
    """

    def __init__(self, graph: Graph, rounding: str) -> None:
        import tosa_serializer as tosa

        self.graph, self._tosa = graph, tosa
        self._builder = tosa.TosaSerializer()
        self._rounding = getattr(tosa.RoundingMode, rounding)
        self.is_single = rounding != "DOUBLE_ROUND"
        self.tensors: dict[str, Any] = {}

    # Tensors and operators

    def dtype(self, name: str) -> Any:
        """A TOSA dtype by its numpy name."""
        return getattr(self._tosa.DType, name.upper())

    def place(self, name: str) -> None:
        """The tensor is an input of the TOSA graph."""
        info = self.graph.tensors[name]
        self.tensors[name] = self._builder.addPlaceholder(list(info.shape), self.dtype(info.dtype))

    def value(self, name: str) -> Any:
        """The TOSA tensor of a tensor or constant."""
        if name not in self.tensors:
            self.tensors[name] = self.constant(self.graph.constants[name])
        return self.tensors[name]

    def constant(self, array: np.ndarray) -> Any:
        """A constant."""
        return self._builder.addConst(list(array.shape), self.dtype(str(array.dtype)), np.ascontiguousarray(array))

    def scalar(self, value: int, dtype: str = "int8") -> Any:
        """A constant of one element."""
        return self.constant(np.array([value], dtype))

    def shape(self, values: Sequence[int]) -> Any:
        """A constant shape, or any list of sizes."""
        return self._builder.addConst([len(values)], self._tosa.DType.SHAPE, np.array(values, np.int64))

    def op(
        self, name: str, inputs: Sequence[Any], shape: Sequence[int], dtype: str, attribute: str, *values: Any
    ) -> Any:
        """Append an operator; its result."""
        out = self._builder.addIntermediate([int(d) for d in shape], self.dtype(dtype))
        attributes = self._tosa.TosaSerializerAttribute()
        getattr(attributes, f"{attribute}Attribute")(*values)
        self._builder.addOperator(
            getattr(self._tosa.Op, name), [tensor.name for tensor in inputs], [out.name], attributes
        )
        return out

    def finish(self, names: Sequence[str]) -> bytes:
        """The graph as a file, with these tensors as its outputs, each through an IDENTITY of its own."""
        for name in names:
            x = self.tensors[name]
            self._builder.addOutputTensor(self.op("IDENTITY", (x,), x.shape, x.dtype.name, "Identity"))
        return bytes(self._builder.serialize())

    # What several operators need

    def rescale(self, x: Any, factors: Sequence[float], zero: int, y_zero: int, dtypes: tuple[str, str]) -> Any:
        """RESCALE by one factor, or one per index of the last axis, from one dtype to another."""
        try:
            pairs = [multiplier.quantize_multiplier(factor) for factor in factors]
        except ValueError as problem:
            raise BackendUnavailable(
                f"the TOSA oracles have no RESCALE by {max(factors):.6g}, which scales combine to: {problem}"
            ) from problem
        inputs = (
            x,
            self.constant(np.array([p[0] for p in pairs], np.int32)),
            self.constant(np.array([p[1] for p in pairs], np.int8)),
            self.scalar(zero, dtypes[0]),
            self.scalar(y_zero, dtypes[1]),
        )
        values = (True, self._rounding, len(factors) > 1, False, False)
        return self.op("RESCALE", inputs, x.shape, dtypes[1], "Rescale", *values)

    def centred(self, x: Any, params: QuantParams) -> Any:
        """x - zero_point as int32."""
        return self.rescale(x, [1.0], params.zero_point[0], 0, ("int8", "int32"))

    def quantized(self, node: Node, acc: Any, factors: Sequence[float]) -> Any:
        """int32 to the output of the node: RESCALE and CLAMP."""
        y = out_quant(node)
        return self.clamped(node, self.rescale(acc, factors, 0, y.zero_point[0], ("int32", "int8")))

    def clamped(self, node: Node, y: Any, clamp: tuple[int, int] | None = None) -> Any:
        """CLAMP to the node's bounds, where they are narrower than the dtype."""
        low, high = clamp or node.attrs.get("clamp") or node.attrs["clamps"][0]
        if (low, high) == (-128, 127):
            return y
        ends = ([low & 0xFF], [high & 0xFF])
        return self.op("CLAMP", (y,), y.shape, "int8", "Clamp", *ends, self._tosa.NanPropagationMode.PROPAGATE)

    def converted(self, node: Node, index: int, x: Any) -> Any:
        """An operand under the parameters of the node's output."""
        params, y = node.in_quant[index], node.out_quant[0]
        if params is None or y is None or (params.scale, params.zero_point) == (y.scale, y.zero_point):
            return x
        factor = float(params.scale[0]) / float(y.scale[0])
        return self.rescale(x, [factor], params.zero_point[0], y.zero_point[0], ("int8", "int8"))

    def transposed(self, x: Any, perm: Sequence[int]) -> Any:
        """TRANSPOSE."""
        return self.op("TRANSPOSE", (x,), [x.shape[a] for a in perm], x.dtype.name.lower(), "Transpose", list(perm))

    def reshaped(self, x: Any, shape: Sequence[int]) -> Any:
        """RESHAPE."""
        return self.op("RESHAPE", (x, self.shape(shape)), shape, x.dtype.name.lower(), "Reshape")

    def image(self, node: Node) -> Any:
        """The first operand channels-last."""
        x = self.value(node.inputs[0])
        require(len(x.shape) == 4, node, "a 1-D image")
        return x if self.graph.layout == "NHWC" else self.transposed(x, TO_LAST)

    def define_image(self, node: Node, y: Any) -> None:
        """The output from its channels-last form."""
        self.tensors[node.outputs[0]] = y if self.graph.layout == "NHWC" else self.transposed(y, TO_FIRST)

    def window(self, node: Node, x: Any) -> tuple[Any, list[int], list[int]]:
        """The image cut to what the window reads, its pads as TOSA wants them (top, bottom, left, right), out H and W.

        TOSA asks that the windows end exactly at the end of the padded image.
        """
        (top, left, bottom, right) = node.attrs["pads"]
        shape, pads = self.graph.tensors[node.outputs[0]].shape, [top, bottom, left, right]
        out = list(shape[1:3] if self.graph.layout == "NHWC" else shape[2:])
        sizes = list(x.shape)
        for axis in (0, 1):
            span = (node.attrs["kernel"][axis] - 1) * node.attrs["dilations"][axis] + 1
            used = (out[axis] - 1) * node.attrs["strides"][axis] + span
            end = used - pads[2 * axis] - sizes[1 + axis]
            pads[2 * axis + 1] = max(end, 0)
            sizes[1 + axis] += min(end, 0)
        if sizes != list(x.shape):
            starts = self.shape([0] * 4)
            x = self.op("SLICE", (x, starts, self.shape(sizes)), sizes, x.dtype.name.lower(), "Slice")
        return x, pads, out

    @property
    def modes(self) -> Any:
        """TOSA's NaN propagation, which integers ignore."""
        return self._tosa.NanPropagationMode


def out_quant(node: Node) -> QuantParams:
    """The parameters of the node's output."""
    y = node.out_quant[0]
    require(y is not None, node, "an output that is not quantized")
    assert y is not None
    return y


def require(condition: bool, node: Node, what: str) -> None:
    """Refuse what has no TOSA form here.

    Raises:
        BackendUnavailable: the condition does not hold.
    """
    if not condition:
        raise BackendUnavailable(f"the TOSA oracles have no form for {node.where()} with {what}")


def build(graph: Graph, rounding: str, taps: Sequence[str]) -> tuple[bytes, list[str], list[str]]:
    """The TOSA graph of a canonical graph.

    Returns:
        The file; the tensors that are its inputs; those of `taps` that are its outputs.

    Raises:
        BackendUnavailable: an operator or type that TOSA's integer profile, or this lowering, has not.
    """
    from q8emu.backends.tosa_operators import EMIT

    target = TosaGraph(graph, rounding)
    inputs: list[str] = []

    def begin(name: str) -> None:
        info = graph.tensors[name]
        if info.dtype != "int8":
            raise BackendUnavailable(f"the TOSA oracles take tensors of int8; '{name}' is {info.dtype}")
        inputs.append(name)
        target.place(name)

    for name in graph.inputs:
        if graph.tensors[name].dtype != "float32":
            begin(name)
    for node in graph.nodes:
        if node.op == "QuantizeLinear" and node.inputs[0] in graph.inputs:
            begin(node.outputs[0])
        elif node.op == "DequantizeLinear" and node.outputs[0] in graph.outputs:
            continue
        else:
            require(node.op in EMIT, node, "integer operators")
            require(all(graph.tensors[n].dtype in ("int8", "int32") for n in node.inputs if n), node, "other types")
            EMIT[node.op](node, target)
    shown = [name for name in taps if name in target.tensors and name not in inputs]
    return target.finish(shown), inputs, shown


Emit = Callable[[Node, TosaGraph], None]
Emitters = Mapping[str, Emit]
