# SPDX-License-Identifier: Apache-2.0
"""ONNX Runtime as it computes the golden values: fused, integer kernels on, one thread. Nothing of q8emu is in here.

Quantized tensors are shown as extra outputs. Each call checks that the session which shows them gives the same final
bits as the plain one, and that no operator that sums runs in float.
"""

from __future__ import annotations

import platform
import tempfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

VNNI_FLAGS = ("avx512_vnni", "avx_vnni", "amx_int8")
MOVEMENTS = ("Flatten", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "MaxPool")
FLOAT_SUMS = ("Conv", "FusedConv", "MatMul", "FusedMatMul", "Gemm", "AveragePool", "GlobalAveragePool", "Softmax")


def run(model: bytes, inputs: Mapping[str, np.ndarray], *, taps: bool = False) -> dict[str, np.ndarray]:
    """Final outputs, after the quantized tensors where `taps` asks for them, by their names in the file.

    Raises:
        RuntimeError: looking changes the final outputs, or a sum runs in float.
    """
    proto = onnx.load_from_string(model)
    finals = [value.name for value in proto.graph.output]
    plain = _session_run(proto, finals, inputs)
    if not taps:
        return plain
    names = quantized_tensors(proto.graph)
    proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in finals)
    seen = _session_run(proto, [*names, *(name for name in finals if name not in names)], inputs)
    for name, array in plain.items():
        if array.tobytes() != seen[name].tobytes():
            raise RuntimeError(f"showing the quantized tensors changes the final output '{name}'")
    return seen


def quantized_tensors(graph: onnx.GraphProto) -> list[str]:
    """Tensors that the file itself holds in 8 bits, in graph order."""
    found: list[str] = []
    for node in graph.node:
        makes = node.op_type.startswith(("QuantizeLinear", "QLinear", "QGemm"))
        if makes or (node.op_type in MOVEMENTS and node.input[0] in found):
            found += node.output
    return found


def _session_run(model: onnx.ModelProto, names: list[str], inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    with tempfile.TemporaryDirectory() as folder:
        executed = Path(folder, "executed.onnx")
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = 1, 1, 4
        options.add_session_config_entry("session.qdqisint8allowed", "1")
        options.optimized_model_filepath = str(executed)
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        operators = {node.op_type for node in onnx.load(executed).graph.node}
        if operators.intersection(FLOAT_SUMS):
            raise RuntimeError(f"runs in float: {sorted(operators.intersection(FLOAT_SUMS))}")
        return dict(zip(names, session.run(names, dict(inputs)), strict=True))


def versions() -> dict[str, str]:
    """What decides the bytes of the golden data besides the code here."""
    return {
        "numpy": np.__version__,
        "onnx": onnx.__version__,
        "onnxruntime": onnxruntime.__version__,
        "zlib": zlib.ZLIB_RUNTIME_VERSION,
    }


def cpu() -> dict[str, Any]:
    """What the oracle's bits depend on in a CPU.

    machine and flags decide the order of float sums; fused: are products and sums of floats contracted?
    saturates: do pairs of u8 x s8 products saturate, as they do on x86-64 with AVX2 and without VNNI?
    """
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.is_file() else []
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in reversed(lines))}
    flags = set(fields.get("flags", fields.get("Features", "")).split())
    vnni = bool(flags.intersection(VNNI_FLAGS))
    return {
        "machine": platform.machine(),
        "flags": [flag for flag in ("avx2", "fma", "avx512f", *VNNI_FLAGS) if flag in flags],
        "vnni": vnni,
        "saturates": "avx2" in flags and not vnni,
        "fused": "fma" in flags or platform.machine() in ("aarch64", "arm64"),
    }
