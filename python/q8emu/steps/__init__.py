# SPDX-License-Identifier: Apache-2.0
"""The definition of every step kind, on exact integers and IEEE binary32 (the contract is docs/steps.md).

`SPECS[kind](step, inputs, outs)` computes what the step writes. It is the norm for the C++ kernels, and slow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from q8emu.program import Buffer, Step
from q8emu.steps import boundary, conv2d, elementwise, matmul, movement, pools, softmax

Spec = Callable[[Step, Sequence[np.ndarray], Sequence[Buffer]], list[np.ndarray]]

SPECS: Mapping[str, Spec] = {
    "add_fma": elementwise.add_fma,
    "add_rescaled": elementwise.add_rescaled,
    "average_pool": pools.average_pool,
    "average_pool_raw": pools.average_pool_raw,
    "average_pool_scaled": pools.average_pool_scaled,
    "concat": movement.concat,
    "conv2d": conv2d.spec,
    "copy": movement.copy,
    "depthwise_conv2d": conv2d.spec,
    "dequantize": boundary.dequantize,
    "dynamic_quantize": boundary.dynamic_quantize,
    "float_binary": elementwise.float_binary,
    "float_mean": pools.float_mean,
    "float_softmax": softmax.float_sum,
    "gather": movement.gather,
    "lut": elementwise.lut,
    "matmul": matmul.spec,
    "max_pool": pools.max_pool,
    "mean": pools.mean,
    "mean_affine": pools.mean_affine,
    "mul": elementwise.mul,
    "mul_ratio": elementwise.mul_ratio,
    "quantize": boundary.quantize,
    "softmax": softmax.spec,
    "softmax_fixed": softmax.fixed,
    "softmax_reciprocal": softmax.reciprocal,
    "transpose": movement.transpose,
}
