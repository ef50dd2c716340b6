# SPDX-License-Identifier: Apache-2.0
"""The typed surface of the C++ core. Nothing is converted: another dtype or layout than the one asked for raises."""

from collections.abc import Mapping, Sequence
from typing import TypedDict

import numpy as np

class Error(RuntimeError):
    """The core refuses: one sentence that says where, what was expected and what was found."""

class Step(TypedDict):
    """One step of docs/steps.md; a step of the kind "host" is not run by the core."""

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    params: Mapping[str, int | tuple[int, ...]]
    arrays: Mapping[str, np.ndarray]

class Executor:
    """Runs a Program; docs/steps.md defines what every step writes."""

    def __init__(
        self,
        buffers: Sequence[tuple[str, tuple[int, ...]]],
        constants: Mapping[int, np.ndarray],
        steps: Sequence[Step],
        *,
        isa: str,
        threads: int,
        keep: Sequence[int],
        keep_accumulators: Sequence[int],
        memory_limit: int,
    ) -> None:
        """Check everything, plan the memory, pack the constant weights.

        Args:
            buffers: dtype name and shape of each buffer.
            constants: the content of constant buffers; copied.
            steps: what to run, in this order.
            isa: one of isas().
            threads: at least 1; the result does not depend on it.
            keep: buffers to be read with read(). What host steps read and write, and what no step of the core writes,
                is kept anyway.
            keep_accumulators: steps whose int32 accumulators are to be transferred.
            memory_limit: bytes for buffers, packed weights, accumulators and scratch memory.

        Raises:
            Error: something is not as docs/steps.md says, or the memory limit is exceeded.
        """

    def write(self, buffer: int, array: np.ndarray) -> None:
        """Copy an array of exactly the dtype and shape of the buffer into it."""

    def read(self, buffer: int) -> np.ndarray:
        """A copy of a buffer that is kept."""

    def run(
        self,
        begin: int,
        end: int,
        *,
        runs: int = 1,
        transfers: Sequence[tuple[str, int, Sequence[int], Sequence[int], np.ndarray]] = (),
        timed: bool = False,
    ) -> None:
        """Run the steps [begin, end), so many times.

        With at least as many runs as threads each thread takes run after run; with fewer all share each step.

        Args:
            begin: the first step.
            end: behind the last; none of them is a host step.
            runs: how many times.
            transfers: direction ("in", "out", "accumulators"), number of the buffer (for accumulators, of the step),
                shape of the part of one run, order of its axes in the buffer, and an array of all parts, one after
                another. An array of one part that goes in is given to every run. A transfer follows the step that
                writes its buffer, or, where no step of the core does, comes before the first step after that; those at
                one place keep their order, and those that follow other steps than these are left out.
            timed: measure each step?

        Raises:
            Error: a number, a shape, a dtype or a layout is not the Program's.
        """

    def step_times(self) -> list[int]:
        """Nanoseconds of each step in the last timed call, over all runs and threads; at the end of the transfers."""

    def kernels(self) -> list[str]:
        """For each step, the symbols of its kernels."""

    @property
    def memory_bytes(self) -> int:
        """Bytes of buffers, packed weights, accumulators and scratch memory, those of all threads together."""

def active_isa() -> str:
    """The ISA that the environment variable Q8EMU_ISA forces, or else the best supported one.

    Raises:
        Error: the forced ISA is unknown or not supported; the sentence lists the supported ones.
    """

def build_info() -> dict[str, str | list[str]]:
    """How the core was built, and which kernels it has and runs.

    Keys: version, compiler, flags, build_type, isas_compiled, isas_supported, isas_emulated, isa_active, kernels.
    Those of isas_emulated are compiled to code of a lower ISA, for tests: they run, slowly, only where they are named.
    """

def isas() -> list[str]:
    """The ISAs of this build that this CPU supports, best first; "reference" is the last."""

def peak_gmacs(isa: str, seconds: float = 0.1) -> float:
    """Multiply-accumulates per second of one core by the multiply-add instruction of an ISA, on registers, in 10^9.

    Args:
        isa: one of isas().
        seconds: how long to measure, in (0, 60]; the result is that of the fastest millisecond.

    Raises:
        Error: the ISA is unknown or not supported, or seconds is out of range.
    """

def requantize(
    isa: str,
    acc: np.ndarray,
    scale_bits: np.ndarray,
    zero_point: int,
    qmin: int,
    qmax: int,
    dtype: str,
) -> np.ndarray:
    """Accumulators to quantized values, by the kernel of one ISA.

    Args:
        isa: one of isas().
        acc: int32[R, C].
        scale_bits: uint32[C] or uint32[1], the bits of positive finite float32.
        zero_point: of the output, within its dtype.
        qmin: least value of the result, within the dtype.
        qmax: greatest value of the result, within the dtype.
        dtype: int8 or uint8.
    """

def requantize_float64(
    isa: str,
    acc: np.ndarray,
    scale64_bits: np.ndarray,
    zero_point: int,
    qmin: int,
    qmax: int,
    dtype: str,
) -> np.ndarray:
    """As requantize, by a binary64 factor.

    Args:
        isa: one of isas().
        acc: int32[R, C].
        scale64_bits: int64[C] or int64[1], the bits of positive finite float64.
        zero_point: of the output, within its dtype.
        qmin: least value of the result, within the dtype.
        qmax: greatest value of the result, within the dtype.
        dtype: int8 or uint8.
    """

def requantize_multiplier(
    isa: str,
    acc: np.ndarray,
    rule: int,
    multiplier: np.ndarray,
    shift: np.ndarray,
    zero_point: int,
    qmin: int,
    qmax: int,
    dtype: str,
) -> np.ndarray:
    """As requantize, by a multiplier and a total right shift.

    Args:
        isa: one of isas().
        acc: int32[R, C].
        rule: 1 double_rounding, 2 ruy_x86, 3 single_rounding.
        multiplier: int32[C] or int32[1], not negative.
        shift: as many, in [1, 62].
        zero_point: of the output, within its dtype.
        qmin: least value of the result, within the dtype.
        qmax: greatest value of the result, within the dtype.
        dtype: int8 or uint8.
    """
