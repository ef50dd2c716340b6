# SPDX-License-Identifier: Apache-2.0
"""The rows of the benchmark table: what is measured, how, and its bar."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter

import numpy as np

import bench_models
import q8emu
from q8emu.backends.cpu import this_cpu
from q8emu.bench import bench
from q8emu.bench.emulated import Emulated
from q8emu.bench.pairs import Pairs, in_turns
from q8emu.emulator import Options
from q8emu.models import default_inputs, default_model

ROOT = Path(__file__).parent.parent
GOLDEN = ROOT / "golden" / "models"
NPU = ROOT / "python" / "q8emu" / "examples" / "npu_16bit.toml"
TINY = ("mlperf_tiny", "ic", "pretrainedResnet_quant.tflite")
REPEATS = 7  # of what starts a process, or loads a model


@dataclass(frozen=True)
class Found:
    """A measured value.

    Attributes:
        value: in the row's unit.
        spread: quartiles of a ratio, or how the other repetitions lie.
        told: what else belongs to it: the outputs, the times.
    """

    value: float
    spread: str = ""
    told: str = ""


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        what: is measured.
        bar: that the value has to reach, or must not exceed.
        unit: "×", "%", "s" or "MB".
        measure: with the seconds that it may take.
        is_most: may the value be at most the bar? Otherwise at least.
        on_vnni: was the bar set on a CPU with AVX512-VNNI, and is it one for such a CPU only?
        needs: real data in Q8EMU_DATA, or "".
    """

    what: str
    bar: float
    unit: str
    measure: Callable[[float], Found]
    is_most: bool = False
    on_vnni: bool = False
    needs: str = ""

    def holds(self, value: float) -> bool:
        """Does a value reach the bar?"""
        return value <= self.bar if self.is_most else value >= self.bar


def against(model: Callable[[], Path], peer: str, batch: int, seconds: float) -> Found:
    """q8emu against a runtime, one thread."""
    found = bench(model(), against=[peer], batches=[batch], seconds=seconds)
    at = found.at[0]
    (one,) = at.peers
    if one.pairs is None:
        return Found(0.0, told=one.outputs.sentence)
    times = [statistics.median(s.ns for s in side) / 1e6 for side in (one.pairs.first, one.pairs.second)]
    outputs = f"{one.outputs.differing:,} of {one.outputs.values:,} outputs differ"
    return ratio(one.pairs, f"{outputs}; {times[0]:.3g} ms, {peer} {times[1]:.3g} ms")


def ratio(pairs: Pairs, told: str = "") -> Found:
    """The median ratio and its quartiles."""
    middle = pairs.ratio
    return Found(middle.median, f"{middle.q1:.2f} to {middle.q3:.2f}, {pairs.rounds} pairs", told)


def share_of_peak(seconds: float) -> Found:
    """ResNet8 at batch 64, the fastest run by the fastest millisecond of the multiply-add instruction."""
    at = bench(against=[], batches=[64], seconds=seconds).at[0]
    least = at.share_of_peak * at.peak_gmacs
    return Found(100 * at.share_of_peak, told=f"{least:.1f} of {at.peak_gmacs:.1f} GMAC/s; median {at.gmacs:.1f}")


def emulated(
    batch: int, *, threads: int = 1, numerics: str = "ort", kernels: str = "auto", taps: bool = False
) -> Emulated:
    """The packaged ResNet8 with its packaged images."""
    options = Options(numerics, kernels, threads)
    return Emulated(default_model(), options, default_inputs(), batch, tensors=None if taps else ())


def turns(first: Callable[[], Emulated], second: Callable[[], Emulated], seconds: float) -> Found:
    """Two ways to run the emulator: time of the second / time of the first."""
    return ratio(in_turns(first().run, second().run, seconds))


def data(*parts: str) -> Path:
    """A file or folder of the real data."""
    return Path(os.environ["Q8EMU_DATA"], *parts)


def images() -> dict[str, np.ndarray]:
    """All CIFAR-10 test images as the packaged ResNet8 takes them."""
    from q8emu.inputs import cifar10_inputs

    return cifar10_inputs(q8emu.load().specs, data("cifar10", "cifar-10-batches-bin"), 10_000)


def ten_thousand(seconds: float) -> Found:
    """From Python, one thread, the images in memory; the least of three."""
    emulator, inputs = q8emu.load(threads=1), images()
    q8emu.run(emulator, {name: array[:64] for name, array in inputs.items()}, tensors=())
    return least([clocked(lambda: q8emu.run(emulator, inputs, tensors=())) for _ in range(3)])


def linear(seconds: float) -> Found:
    """Time of an image among 10,000 by that of one among 1,000, in turns."""
    emulator, inputs = q8emu.load(threads=1), images()
    few = {name: array[:1000] for name, array in inputs.items()}
    pairs = in_turns(lambda: q8emu.run(emulator, few, tensors=()), lambda: q8emu.run(emulator, inputs, tensors=()), 1)
    found = ratio(pairs)
    return Found(found.value / 10, f"{pairs.ratio.q1 / 10:.2f} to {pairs.ratio.q3 / 10:.2f}, {pairs.rounds} pairs")


MEMORY = """
import numpy as np, q8emu, q8emu.api, onnxruntime
from pathlib import Path
def peak():
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")) / 1024
images = np.full((10_000, 3, 32, 32), 7, np.float32)
Path("/proc/self/clear_refs").write_text("5")
before = peak()
trace = q8emu.run(q8emu.load(threads=1), {"image": images}, tensors=())
print(peak() - before - sum(a.nbytes for a in trace.outputs.values()) / 2**20)
"""


def memory(seconds: float) -> Found:
    """Peak of a process of its own, beyond its imports, the images and the outputs; Linux only."""
    return Found(float(python(MEMORY)), told="a process of its own, one thread, after its imports")


def python(code: str) -> str:
    """What a new interpreter prints."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def import_time(seconds: float) -> Found:
    """Of the package alone, in a new interpreter."""
    return least([Clocked(*map(float, python(IMPORT).split())) for _ in range(REPEATS)])


def help_time(seconds: float) -> Found:
    """Of a whole process."""
    call = [sys.executable, "-m", "q8emu", "--help"]
    return least([clocked(lambda: subprocess.run(call, capture_output=True, check=True)) for _ in range(REPEATS)])


def load_time(seconds: float) -> Found:
    """To open the packaged ResNet8: read, canonicalize, lower, pack; modules loaded."""
    return least([clocked(lambda: q8emu.load(threads=1).runner) for _ in range(REPEATS)])


@dataclass(frozen=True)
class Clocked:
    """Elapsed seconds, and seconds of processor time of this process and the processes that it waited for."""

    elapsed: float
    cpu: float


def clocked(run: Callable[[], object]) -> Clocked:
    """Time one call."""
    begin, used = perf_counter(), sum(os.times()[:4])
    run()
    return Clocked(perf_counter() - begin, sum(os.times()[:4]) - used)


def least(times: Sequence[Clocked]) -> Found:
    """What other work on the machine cannot make smaller."""
    elapsed = [one.elapsed for one in times]
    used = min(one.cpu for one in times)
    spread = f"{min(elapsed):.3f} to {max(elapsed):.3f} s, {len(times)} times"
    return Found(min(elapsed), spread, f"{used:.3f} s of processor time")


IMPORT = """
from time import perf_counter, process_time
begin, used = perf_counter(), process_time()
import q8emu
print(perf_counter() - begin, process_time() - used)
"""


def golden(name: str) -> Callable[[], Path]:
    """A committed ResNet8."""
    return lambda: GOLDEN / f"resnet8_{name}_channel.onnx"


def versus(what: str, model: Callable[[], Path], peer: str, batch: int, bar: float, needs: str = "") -> Row:
    """A row against a runtime."""
    name = f"{what}, batch {batch}: q8emu vs `{peer}`"
    return Row(name, bar, "×", partial(against, model, peer, batch), on_vnni=True, needs=needs)


def runtime_rows() -> list[Row]:
    """Against other runtimes."""
    resnet8 = (
        ("int8 QDQ", "int8_qdq", "ort-default", 6.0),
        ("int8 QDQ", "int8_qdq", "ort", 20.0),
        ("uint8 QDQ", "uint8_qdq", "ort-default", 2.5),
        ("int8 QOperator", "int8_qoperator", "ort-default", 20.0),
    )
    return [
        *(versus(f"ResNet8 {what}", golden(n), peer, b, bar) for what, n, peer, bar in resnet8 for b in (1, 64)),
        versus("MLPerf Tiny ResNet8 int8 TFLite", lambda: data(*TINY), "litert-xnnpack", 1, 2.5, "/".join(TINY)),
        *(
            versus(f"{network} 224×224 {types}", partial(bench_models.made, network, types), "ort-default", batch, 1.2)
            for network in ("mobilenet_v2", "resnet50")
            for types in ("u8s8", "s8s8")
            for batch in (1, 8)
        ),
        versus("transformer MatMuls 128×768 u8s8", transformer, "ort-default", 1, 1.0),
        *(saturating_rows() if this_cpu().saturates_pairs else []),
    ]


def saturating_rows() -> list[Row]:
    """The bits of ONNX Runtime where pairs saturate, as a default session gives them there; its speed is that."""
    peer = "ort-x64-avx2"
    return [
        *(versus("ResNet8 uint8 QDQ", golden("uint8_qdq"), peer, batch, 2.5) for batch in (1, 64)),
        *(
            versus(f"{network} 224×224 u8s8", partial(bench_models.made, network, "u8s8"), peer, batch, 1.2)
            for network, batch in (("mobilenet_v2", 1), ("mobilenet_v2", 8), ("resnet50", 1))
        ),
        versus("transformer MatMuls 128×768 u8s8", transformer, peer, 1, 1.0),
    ]


transformer = partial(bench_models.made, "transformer", "u8s8")


def own_rows() -> list[Row]:
    """The emulator against itself, and absolute times and sizes."""
    plain = partial(emulated, 64)
    rows = [
        Row("ResNet8, batch 64: share of the measured peak", 45.0, "%", share_of_peak, on_vnni=True),
        Row("ResNet8, batch 64: two threads vs one", 1.8, "×", partial(turns, partial(emulated, 64, threads=2), plain)),
        Row(
            "ResNet8, batch 64: time with every quantized tensor tapped / none",
            1.3,
            "×",
            partial(turns, plain, partial(emulated, 64, taps=True)),
            is_most=True,
        ),
    ]
    for name, profile in (("tflite", "tflite"), ("tosa-single", "tosa-single"), (NPU.name, str(NPU))):
        measure = partial(turns, plain, partial(emulated, 64, numerics=profile))
        rows.append(Row(f"ResNet8, batch 64: time under `{name}` / under `ort`", 1.15, "×", measure, is_most=True))
    avx2, reference = (partial(emulated, 8, kernels=kernels) for kernels in ("avx2", "reference"))
    cifar = "cifar10"
    return [
        *rows,
        Row("ResNet8, batch 8: AVX2 kernels vs reference kernels", 10.0, "×", partial(turns, avx2, reference)),
        Row("10,000 CIFAR-10 images from Python, one thread", 1.0, "s", ten_thousand, True, True, cifar),
        Row("time of an image among 10,000 / among 1,000", 1.1, "×", linear, True, needs=cifar),
        Row("memory beyond input and output, 10,000 images", 64.0, "MB", memory, True),
        Row("`import q8emu`", 0.25, "s", import_time, True),
        Row("`q8emu --help`", 0.3, "s", help_time, True),
        Row("load and lower ResNet8", 0.1, "s", load_time, True),
    ]


ROWS = (*runtime_rows(), *own_rows())
