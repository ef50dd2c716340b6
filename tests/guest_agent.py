# SPDX-License-Identifier: Apache-2.0
"""What runs on the emulated machine: it loads TorchScript files into PyTorch there and runs them, request by request.

    python guest_agent.py /dev/sdb /dev/sdc

A worker that a file takes down is replaced, and its request is answered with what happened. Files are loaded without
PyTorch's Python wrappers, which would take half of the time. See guest_oracle.py.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from guest_mailbox import Disk
from q8emu.backends.cpu import this_cpu
from q8emu.backends.torch import TORCH_FBGEMM, outputs, sentence

MOST_LOADED = 8

Forward = Callable[..., Any]


def main(requests: Path, replies: Path) -> None:
    """Answer for ever."""
    torch.backends.quantized.engine = TORCH_FBGEMM.engine
    torch.set_num_threads(1)
    inward, outward = Disk(requests), Disk(replies)
    while True:
        worker = os.fork()
        if worker == 0:
            serve(inward, outward)
        status = os.waitpid(worker, 0)[1]
        outward.write(outward.number() + 1, ("died", f"its process ended with status {status}"))


def serve(inward: Disk, outward: Disk) -> None:
    """Answer until a file takes the process with it."""
    loaded: dict[str, Forward] = {}
    number = outward.number()
    with torch.no_grad(), torch.jit.optimized_execution(False):  # each file runs a few times
        while True:
            number += 1
            outward.write(number, answer(loaded, *inward.wait(number)))


def answer(loaded: dict[str, Forward], kind: str, *told: Any) -> tuple[Any, ...]:
    """The reply to one request."""
    if kind == "describe":
        return "done", TORCH_FBGEMM.why_unavailable(), TORCH_FBGEMM.version(), this_cpu().describe()
    name, content = told
    try:
        if kind == "open":
            while len(loaded) >= MOST_LOADED:
                del loaded[next(iter(loaded))]
            loaded[name] = _forward(content)
            return ("done",)
        if name not in loaded:
            return ("unknown",)
        return "done", outputs(loaded[name](*map(torch.from_numpy, content.arrays())))
    except (RuntimeError, ValueError) as refusal:  # what torch raises
        return "refused", sentence(refusal)


def _forward(file: bytes) -> Forward:
    unit = torch._C.CompilationUnit()
    module = torch._C.import_ir_module_from_buffer(unit, file, torch.device("cpu"), {}, False)
    method = module._get_method("forward")
    return lambda *tensors: method(*tensors)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
