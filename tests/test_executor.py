# SPDX-License-Identifier: Apache-2.0
"""How inputs are spread over calls, blocks and threads changes no bit, costs no memory, and is measured on request."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import q8emu
from q8emu import _core
from q8emu.cores import Transfer
from q8emu.emulator import Emulator, Options
from q8emu.errors import BadInput
from q8emu.models import default_model
from q8emu.program import Program
from q8emu.run import Runner
from q8emu.samples import ACROSS, BY_RULE, ELEMENTWISE, FIRST_AXIS, SAME_AXIS, is_samplewise
from q8emu.steps import SPECS
from q8emu.trace import Trace

BATCHES = (1, 2, 3, 7, 31, 64, 65)


@cache
def images() -> np.ndarray:
    """As many as the largest batch."""
    return np.random.default_rng(7).normal(0, 1, (max(BATCHES), 3, 32, 32)).astype(np.float32)


@cache
def expected() -> Trace:
    """Each image alone, by the reference kernels."""
    emulator = Emulator(default_model(), Options(kernels="reference", threads=1, accumulators=True))
    parts = [emulator.runner_for(1).run({"image": image[None]}) for image in images()]

    def joined(arrays: list[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
        return {name: np.concatenate([part[name] for part in arrays]) for name in arrays[0]}

    return Trace(
        "q8emu",
        joined([part.tensors for part in parts]),
        joined([part.outputs for part in parts]),
        joined([part.accumulators for part in parts]),
    )


def same(found: Mapping[str, np.ndarray], wanted: Mapping[str, np.ndarray], count: int) -> None:
    """The first arrays, bit for bit."""
    assert list(found) == [name for name in wanted if name in found]
    for name, array in found.items():
        whole = wanted[name]
        assert array.dtype == whole.dtype, name
        assert array.tobytes() == whole[: len(whole) * count // max(BATCHES)].tobytes(), name


@pytest.mark.parametrize("accumulators", [False, True], ids=["plain", "accumulators"])
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_every_batch_and_every_number_of_threads_give_the_same_bits(threads: int, accumulators: bool, isa: str) -> None:
    """Odd batches, more threads than inputs; with all tensors, with one, and with none."""
    emulator = Emulator(default_model(), Options(kernels=isa, threads=threads, accumulators=accumulators))
    some = "stack2_relu_QuantizeLinear_Output"
    for count in BATCHES if isa != "reference" else BATCHES[:4]:
        for tensors in (None, (some,), ()):
            trace = emulator.run({"image": images()[:count]}, tensors=tensors)
            assert len(trace.tensors) == (18 - 1 if tensors is None else len(tensors))
            assert bool(trace.accumulators) == accumulators
            same(trace.tensors, expected().tensors, count)
            same(trace.outputs, expected().outputs, count)
            same(trace.accumulators, expected().accumulators, count)


@pytest.mark.parametrize("block", [1, 2, 3, 8])
def test_blocks_of_any_size_give_the_same_bits(block: int) -> None:
    emulator = Emulator(default_model(), Options(threads=2, batch=block))
    assert emulator.block == block
    same(emulator.run({"image": images()}).tensors, expected().tensors, max(BATCHES))


def test_a_number_of_inputs_lowers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """One program for a sample and one for a block, however many inputs come."""
    emulator = q8emu.load(threads=2)
    emulator.run({"image": images()})
    monkeypatch.setattr("q8emu.emulator.lower", None)
    for count in BATCHES:
        emulator.run({"image": images()[:count]}, tensors=())


def test_the_definition_takes_many_runs_too() -> None:
    """As the core: transfers in graph order, one part of the arrays for each run."""
    emulator = q8emu.load(kernels="spec")
    found = emulator.runner_for(1).run({"image": images()[:2]}, runs=2)
    same(found.tensors, expected().tensors, 2)
    same(found.outputs, expected().outputs, 2)


def test_tensors_are_replaced_in_every_run() -> None:
    """What replaces a tensor is cut as the inputs are; the tensor itself is recorded before."""
    name, runner = "stack1_relu_QuantizeLinear_Output", q8emu.load(threads=2).runner_for(1)
    changed = expected().tensors[name][:5] ^ np.int8(3)
    whole = runner.run({"image": images()[:5]}, {name: changed}, runs=5)
    for i in range(5):
        alone = runner.run({"image": images()[i : i + 1]}, {name: changed[i : i + 1]})
        for tensor, array in alone.tensors.items():
            assert np.array_equal(whole.tensors[tensor][i : i + 1], array), tensor
    assert np.array_equal(whole.tensors[name], expected().tensors[name][:5])
    assert not np.array_equal(whole.outputs["probabilities"], expected().outputs["probabilities"][:5])


# What must not be cut


def test_every_kind_of_step_has_a_rule() -> None:
    groups = (ELEMENTWISE, SAME_AXIS, BY_RULE, FIRST_AXIS, ACROSS)
    assert sorted(kind for group in groups for kind in group) == sorted([*SPECS, "host"])


Shape = list[str | int | None]


def program_of(nodes: list[onnx.NodeProto], shape: Shape, tmp_path: Path, out: Shape) -> Emulator:
    """A network with an open batch."""
    scale, zero = helper.make_tensor("s", TensorProto.FLOAT, [], [0.05]), helper.make_tensor("z", 2, [], [100])
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, out)],
        [scale, zero],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    return Emulator(path, Options(threads=2))


def quantized(*nodes: onnx.NodeProto) -> list[onnx.NodeProto]:
    """x → nodes → y, quantized before and behind; the nodes read "a" and write "b"."""
    made = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["xq"], name="q0"),
        helper.make_node("DequantizeLinear", ["xq", "s", "z"], ["a"], name="d0"),
        *nodes,
        helper.make_node("QuantizeLinear", ["b", "s", "z"], ["yq"], name="q1"),
        helper.make_node("DequantizeLinear", ["yq", "s", "z"], ["y"], name="d1"),
    ]
    return made


CUT_FREELY: dict[str, tuple[onnx.NodeProto, list[int], Shape]] = {
    "transpose": (helper.make_node("Transpose", ["a"], ["b"], name="t", perm=[0, 2, 1]), [5, 4], ["N", 4, 5]),
    "softmax": (helper.make_node("Softmax", ["a"], ["b"], name="m", axis=2), [5, 4], ["N", 5, 4]),
    "concat": (helper.make_node("Concat", ["a", "a"], ["b"], name="c", axis=2), [5, 4], ["N", 5, 8]),
}
NOT_CUT: dict[str, tuple[onnx.NodeProto, list[int], Shape]] = {
    "a transpose of the batch": (
        helper.make_node("Transpose", ["a"], ["b"], name="t", perm=[1, 0, 2]),
        [5, 4],
        [5, "N", 4],
    ),
    "a softmax over the batch": (helper.make_node("Softmax", ["a"], ["b"], name="m", axis=0), [5, 4], ["N", 5, 4]),
    "a join of batches": (helper.make_node("Concat", ["a", "a"], ["b"], name="c", axis=0), [5, 4], ["2N", 5, 4]),
    "a mean over the batch": (
        helper.make_node("ReduceMean", ["a"], ["b"], name="r", axes=[0], keepdims=1),
        [5, 4],
        [1, 5, 4],
    ),
    "a mean whose order depends on the batch": (
        helper.make_node("ReduceMean", ["a"], ["b"], name="r", axes=[1], keepdims=1),
        [5, 4],
        ["N", 1, 4],
    ),
}


@pytest.mark.parametrize("case", CUT_FREELY)
def test_what_may_be_cut(case: str, tmp_path: Path) -> None:
    """The whole batch in one run gives the bits of its samples one by one."""
    node, rest, out = CUT_FREELY[case]
    emulator = program_of(quantized(node), ["N", *rest], tmp_path, out)
    assert emulator.block
    x = np.random.default_rng(0).normal(0, 3, (7, *rest)).astype(np.float32)
    found, whole = emulator.run({"x": x}), emulator.runner_for(7).run({"x": x})
    assert found.outputs["y"].tobytes() == whole.outputs["y"].tobytes()
    assert all(array.tobytes() == whole.tensors[name].tobytes() for name, array in found.tensors.items())


@pytest.mark.parametrize("count", [1, 7, 8, 16, 24, 40, 41])
def test_batches_are_cut_where_groups_of_values_end(count: int) -> None:
    """LiteRT goes by groups of eight values: ten outputs of an image make whole groups in eight images."""
    emulator = Emulator(default_model(), Options("tflite", threads=2))
    assert (emulator.block, emulator.unit) == (8, 8)
    inputs = {"image": np.resize(images(), (count, 3, 32, 32))}
    found, whole = emulator.run(inputs), emulator.runner_for(count).run(inputs)
    for arrays, wanted in ((found.tensors, whole.tensors), (found.outputs, whole.outputs)):
        assert all(array.tobytes() == wanted[name].tobytes() for name, array in arrays.items())


def test_a_mean_whose_lanes_begin_elsewhere_is_not_cut_behind_each_sample(tmp_path: Path) -> None:
    node = helper.make_node("ReduceMean", ["a"], ["b"], name="r", axes=[2], keepdims=1)
    assert program_of(quantized(node), ["N", 5, 37], tmp_path, ["N", 5, 1]).unit == 8
    assert program_of(quantized(node), ["N", 5, 36], tmp_path, ["N", 5, 1]).unit == 1


@pytest.mark.parametrize("case", NOT_CUT)
def test_what_must_not_be_cut(case: str, tmp_path: Path) -> None:
    """It runs in one piece, as far as a run reaches."""
    node, rest, out = NOT_CUT[case]
    emulator = program_of(quantized(node), ["N", *rest], tmp_path, out)
    assert emulator.block == 0 or 7 % emulator.unit, "cut, if at all, behind multiples of a unit"
    x = np.random.default_rng(0).normal(0, 3, (7, *rest)).astype(np.float32)
    found, whole = emulator.run({"x": x}), emulator.runner_for(7).run({"x": x})
    assert found.outputs["y"].tobytes() == whole.outputs["y"].tobytes()


def test_a_difference_anywhere_is_noticed() -> None:
    """Another integer, another constant, another place: then one program says nothing about the other."""
    emulator = q8emu.load()
    one, two = emulator.program_for(1), emulator.program_for(2)
    assert is_samplewise(one, two, 2)
    assert not is_samplewise(one, two, 3)
    assert not is_samplewise(one, one, 2)

    def changed(index: int, **fields: object) -> Program:
        steps = list(two.steps)
        steps[index] = replace(steps[index], **fields)  # type: ignore[arg-type]
        return replace(two, steps=tuple(steps))

    conv = next(i for i, step in enumerate(two.steps) if step.kind == "conv2d")
    step = two.steps[conv]
    assert not is_samplewise(one, changed(conv, params={**step.params, "y_zero_point": 5}), 2)
    assert not is_samplewise(one, changed(conv, arrays={**step.arrays, "bias": step.arrays["bias"] + 1}), 2)
    assert not is_samplewise(one, changed(conv, kind="dynamic_quantize"), 2)
    number, array = next(iter(two.constants.items()))
    assert not is_samplewise(one, replace(two, constants={**two.constants, number: array ^ np.int8(1)}), 2)


# Memory and time

MEMORY = """
import re, sys
import numpy as np
import q8emu
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) * 1024
count = int(sys.argv[1])
emulator = q8emu.load(threads=1)
emulator.run({"image": np.zeros((4, 3, 32, 32), np.float32)}, tensors=())
before = peak()
image = np.full((count, 3, 32, 32), 0.5, np.float32)
outputs = q8emu.run(emulator, {"image": image}, tensors=()).outputs
print(peak() - before, image.nbytes + sum(array.nbytes for array in outputs.values()))
"""


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="reads the peak of memory from /proc")
def test_memory_beyond_inputs_and_outputs_does_not_grow() -> None:
    """Ten thousand images take their own memory, that of the outputs, and less than 64 MiB."""
    done = subprocess.run([sys.executable, "-c", MEMORY, "10000"], capture_output=True, text=True, check=True)
    grown, arrays = map(int, done.stdout.split())
    print(f"grown {grown:,} bytes for {arrays:,} bytes of inputs and outputs")
    assert grown > arrays // 2  # the measurement sees the inputs
    assert grown - arrays < 64 * 2**20


def test_times_of_steps() -> None:
    """One number for each step and one for inputs and outputs, of the last call that was timed."""
    runner = q8emu.load(threads=2).runner_for(1)
    for runs in (1, 8):
        times = runner.step_times({"image": images()[:runs]}, runs)
        assert len(times) == len(runner.program.steps) + 1
        assert all(time > 0 for time in times)
    with pytest.raises(BadInput, match="spec"):
        q8emu.load(kernels="spec").runner_for(1).step_times({"image": images()[:1]})


# The core


def small(threads: int = 1) -> _core.Executor:
    """y[3, 2] = the transpose of x[2, 3]; buffer 2 is constant."""
    step: _core.Step = {"kind": "transpose", "inputs": (0,), "outputs": (1,), "params": {"perm": (1, 0)}, "arrays": {}}
    return _core.Executor(
        [("int8", (2, 3)), ("int8", (3, 2)), ("int8", (2,))],
        {2: np.array([5, 6], np.int8)},
        [step],
        isa="reference",
        threads=threads,
        keep=[],
        keep_accumulators=[],
        memory_limit=2**20,
    )


@pytest.mark.parametrize("threads", [1, 3])
def test_transfers_change_the_order_of_axes(threads: int) -> None:
    """One part for each run, or one for all; in the order of the tensor's own axes."""
    x, y = np.arange(24, dtype=np.int8).reshape(8, 3), np.empty((8, 3), np.int8)
    moved = np.ascontiguousarray(x.reshape(4, 2, 3).transpose(0, 2, 1))
    constant = np.empty(8, np.int8)
    executor = small(threads)
    out = ("out", 1, (2, 3), (1, 0), y)
    executor.run(0, 1, runs=4, transfers=[("in", 0, (3, 2), (1, 0), moved), out, ("out", 2, (2,), (0,), constant)])
    assert np.array_equal(y, x)
    assert constant.tolist() == [5, 6] * 4
    executor.run(0, 1, runs=4, transfers=[("in", 0, (2, 3), (0, 1), x[2:4].copy()), out])
    assert np.array_equal(y.reshape(4, 2, 3), np.stack([x[2:4]] * 4))


def test_the_core_refuses_other_transfers() -> None:
    """Numbers, shapes, dtypes, layouts and directions that are not the Program's."""
    executor, x, fixed = small(), np.zeros((2, 3), np.int8), np.zeros((2, 3), np.int8)
    fixed.flags.writeable = False
    good: Transfer = ("in", 0, (2, 3), (0, 1), x)
    executor.run(0, 1, transfers=[good])
    bad: list[Transfer] = [
        ("up", *good[1:]),
        ("in", 3, *good[2:]),
        ("in", -1, *good[2:]),
        ("in", 2, (2,), (0,), np.zeros(2, np.int8)),
        ("in", 0, (2, 4), (0, 1), x),
        ("in", 0, (2, 3), (0, 0), x),
        ("in", 0, (2, 3), (0, 2), x),
        ("in", 0, (2, 3), (0,), x),
        ("in", 0, (2, 3), (0, 1), x.astype(np.uint8)),
        ("in", 0, (2, 3), (0, 1), x.reshape(3, 2).T),
        ("out", 1, (2, 3), (0, 1), np.zeros((4, 3), np.int8)),
        ("out", 1, (2, 3), (0, 1), fixed),
        ("accumulators", 0, (3, 2), (0, 1), np.zeros((3, 2), np.int32)),
        ("accumulators", 1, (3, 2), (0, 1), np.zeros((3, 2), np.int32)),
    ]
    for transfer in bad:
        with pytest.raises(_core.Error, match="run: "):
            executor.run(0, 1, transfers=[transfer])
    for begin, end, runs in ((0, 2, 1), (-1, 1, 1), (1, 0, 1), (0, 1, 0)):
        with pytest.raises(_core.Error, match="run: "):
            executor.run(begin, end, runs=runs)


def test_a_runner_checks_its_inputs() -> None:
    runner: Runner = q8emu.load().runner_for(1)
    for array, runs in ((images()[:3], 2), (images()[:1].astype(np.float64), 1), (images()[:2], 1)):
        with pytest.raises(BadInput, match="expected float32"):
            runner.run({"image": array}, runs=runs)
    with pytest.raises(BadInput, match="the model's are"):
        runner.run({"picture": images()[:1]})
