# SPDX-License-Identifier: Apache-2.0
"""Host steps: one float operator as a model of its own, run through ONNX Runtime on exactly the emulator's tensors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from q8emu.errors import UnsupportedOperator
from q8emu.graph import Graph, Node, TensorInfo


def host_model(node: Node, graph: Graph, inputs: Sequence[str], outputs: Sequence[str]) -> bytes:
    """The node as a serialized ONNX model; its constant operands become initializers."""
    from onnx import NodeProto, ValueInfoProto, helper, numpy_helper

    def value(info: TensorInfo) -> ValueInfoProto:
        return helper.make_tensor_value_info(
            info.name, helper.np_dtype_to_tensor_dtype(np.dtype(info.dtype)), info.shape
        )

    constants = [
        numpy_helper.from_array(graph.constants[n], n) for n in dict.fromkeys(node.inputs) if n in graph.constants
    ]
    body = helper.make_graph(
        [NodeProto.FromString(node.proto)],
        "host",
        [value(graph.tensors[n]) for n in inputs],
        [value(graph.tensors[n]) for n in outputs],
        constants,
    )
    imports = [helper.make_opsetid(domain, version) for domain, version in graph.opsets.items()]
    if node.attrs["op_type"].startswith("com.microsoft:") and "com.microsoft" not in graph.opsets:
        imports.append(helper.make_opsetid("com.microsoft", 1))
    model = helper.make_model(body, opset_imports=imports)
    model.ir_version = min(model.ir_version, 10)
    return bytes(model.SerializeToString(deterministic=True))


class HostNode:
    """A host step, ready to run."""

    def __init__(self, name: str, model: bytes) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = 1
        try:
            self.session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime has one exception type per failure; the model decides which
            reason = " ".join(str(error).split())[:300]
            raise UnsupportedOperator(f"Host step '{name}': ONNX Runtime does not run it: {reason}") from error
        self.name = name
        self.inputs = [i.name for i in self.session.get_inputs()]

    def run(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The outputs for these inputs, in the node's order."""
        try:
            return [np.asarray(a) for a in self.session.run(None, dict(zip(self.inputs, arrays, strict=True)))]
        except Exception as error:  # as above, at run time
            reason = " ".join(str(error).split())[:300]
            raise UnsupportedOperator(f"Host step '{self.name}' failed in ONNX Runtime: {reason}") from error
