# SPDX-License-Identifier: Apache-2.0
"""Bad input ends in one sentence and exit code 2: never a traceback, a crash, a hang, or gigabytes of memory."""

from __future__ import annotations

import os
import random
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto

from q8emu.cli import exit_code
from strategies_bad_models import BAD_MODELS, LIMITED_MEMORY, conv_model, host_model

MIB = 2**20


@pytest.fixture
def refuse(capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run the command line; it must refuse in one sentence, which is returned."""

    def run(*arguments: object) -> str:
        code = exit_code([str(a) for a in arguments])
        out, err = capfd.readouterr()
        assert code == 2, f"exit code {code}\n{out}\n{err}"
        assert err.startswith("q8emu: ") and err.count("\n") == 1, f"not one sentence: {err!r}"
        assert "Traceback" not in err and "should have explained" not in err, err
        assert out == "", f"a refusal prints nothing on stdout: {out!r}"
        return err

    return run


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A small legal model file."""
    path = tmp_path / "good.onnx"
    path.write_bytes(conv_model().SerializeToString())
    return path


def test_the_model_to_be_damaged_is_good(model: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["verify", str(model), "--against", "ort"]) == 0, capfd.readouterr()


@pytest.mark.parametrize("name", BAD_MODELS)
def test_bad_model(name: str, tmp_path: Path, refuse: Callable[..., str]) -> None:
    """Every row of the table of bad models, with the words that its sentence must contain."""
    damage, words = BAD_MODELS[name]
    proto = conv_model()
    damage(proto)
    path = tmp_path / "bad.onnx"
    path.write_bytes(proto.SerializeToString())
    sentence = refuse("verify", path)
    assert all(word in sentence for word in words), sentence


@pytest.mark.parametrize("name", ["a cycle", "a scale of zero", "a bias too short", "an old opset"])
def test_inspect_and_run_refuse_it_too(name: str, tmp_path: Path, refuse: Callable[..., str]) -> None:
    proto = conv_model()
    BAD_MODELS[name][0](proto)
    path = tmp_path / "bad.onnx"
    path.write_bytes(proto.SerializeToString())
    refuse("inspect", path)
    refuse("run", path, "-o", tmp_path / "out.npz")


@pytest.mark.parametrize("name", LIMITED_MEMORY)
def test_absurd_sizes_take_no_memory(name: str, tmp_path: Path) -> None:
    """A tensor of 2^40 elements is refused before anything is allocated."""
    proto = conv_model()
    LIMITED_MEMORY[name](proto)
    path = tmp_path / "absurd.onnx"
    path.write_bytes(proto.SerializeToString())
    code, message, peak = _verify_apart(path)
    assert code == 2, message
    assert message.startswith("q8emu: ") and message.count("\n") == 1, message
    assert peak < 400 * MIB


def _verify_apart(path: Path, *options: str) -> tuple[int, str, int]:
    """Exit code, stderr and peak memory in bytes of `q8emu verify` as a process of its own."""
    script = (
        "import sys\n"
        "from q8emu.cli import exit_code\n"
        "code = exit_code(sys.argv[1:])\n"
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))\n"
        "sys.exit(code)\n"
    )
    command = [sys.executable, "-c", script, "verify", str(path), "--against", "ort", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stderr, int(done.stdout.split()[-1]) * 1024


# Files that are not models


@pytest.mark.parametrize("length", [0, 1, 2, 10, 100, -1, -10])
def test_truncated_file(length: int, model: Path, refuse: Callable[..., str]) -> None:
    data = model.read_bytes()
    model.write_bytes(data[:length])
    refuse("verify", model)


@pytest.mark.parametrize("seed", range(10))
def test_random_bytes(seed: int, model: Path, refuse: Callable[..., str]) -> None:
    r = random.Random(seed)
    model.write_bytes(r.randbytes(r.choice((1, 30, 1000, 100_000))))
    refuse("verify", model)


def test_not_a_file(tmp_path: Path, refuse: Callable[..., str]) -> None:
    assert "nowhere.onnx" in refuse("verify", tmp_path / "nowhere.onnx")
    refuse("verify", tmp_path)
    text = tmp_path / "text.onnx"
    text.write_text("this is no model\n")
    refuse("verify", text)


# A float model, and host steps


def test_float_model(tmp_path: Path, refuse: Callable[..., str]) -> None:
    path = tmp_path / "float.onnx"
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    values = [onnx.helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 4]) for n in "xy"]
    graph = onnx.helper.make_graph([node], "float", values[:1], values[1:])
    onnx.save(onnx.helper.make_model(graph, ir_version=8, opset_imports=[onnx.helper.make_opsetid("", 17)]), path)
    assert "quantized" in refuse("verify", path)


def test_no_host(tmp_path: Path, refuse: Callable[..., str], capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "host.onnx"
    path.write_bytes(host_model().SerializeToString())
    sentence = refuse("verify", path, "--no-host")
    assert "Erf" in sentence and "--no-host" in sentence
    refuse("run", path, "--no-host", "-o", tmp_path / "out.npz")
    assert exit_code(["verify", str(path), "--against", "ort"]) == 0, capfd.readouterr()


# External data


LOCATIONS = (
    "/etc/hostname",
    "../secret",
    "sub/../../secret",
    "..\\secret",
    "C:\\secret",
    "C:secret",
    "\\\\server\\share\\secret",
    "link",
    "folder/secret",
    "",
    ".",
    "sub",
    "missing",
    "a\0b",
    "fifo",
    "x" * 5000,
)


def test_a_pipe_is_no_model(tmp_path: Path, refuse: Callable[..., str]) -> None:
    os.mkfifo(tmp_path / "fifo.onnx")
    assert "no model file" in refuse("verify", tmp_path / "fifo.onnx")


@pytest.mark.parametrize("location", LOCATIONS, ids=lambda v: repr(v[:20]))
def test_external_data_stays_in_the_folder(location: str, tmp_path: Path, refuse: Callable[..., str]) -> None:
    """Neither an absolute path, nor .., nor a symbolic link, nor a Windows form leads out of the model's folder."""
    home = tmp_path / "home"
    (home / "sub").mkdir(parents=True)
    (tmp_path / "secret").write_bytes(bytes(1000))
    (home / "link").symlink_to(tmp_path / "secret")
    (home / "folder").symlink_to(tmp_path)
    os.mkfifo(home / "fifo")
    path = home / "external.onnx"
    path.write_bytes(_external(conv_model(), location=location).SerializeToString())
    assert "external" in refuse("verify", path) or "data" in refuse("verify", path)


@pytest.mark.parametrize(
    "entries",
    [
        {"offset": "-1"},
        {"offset": "5"},
        {"offset": "99999999999999999999"},
        {"offset": "many"},
        {"length": "-1"},
        {"length": "3"},
        {"length": "99999999999999999999"},
        {"length": "many"},
    ],
    ids=str,
)
def test_external_data_of_another_size(entries: dict[str, str], tmp_path: Path, refuse: Callable[..., str]) -> None:
    proto = conv_model()
    (tmp_path / "weights.bin").write_bytes(_weights(proto).raw_data)
    path = tmp_path / "external.onnx"
    path.write_bytes(_external(proto, location="weights.bin", **entries).SerializeToString())
    refuse("verify", path)


def test_external_data_in_the_folder_is_read(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    proto = conv_model()
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "weights.bin").write_bytes(b"12345" + _weights(proto).raw_data)
    path = tmp_path / "external.onnx"
    path.write_bytes(_external(proto, location="deep/weights.bin", offset="5").SerializeToString())
    assert exit_code(["verify", str(path), "--against", "ort"]) == 0, capfd.readouterr()


def _weights(proto: ModelProto) -> TensorProto:
    found: TensorProto = next(t for t in proto.graph.initializer if t.name == "w")
    return found


def _external(proto: ModelProto, **entries: str) -> ModelProto:
    weights = _weights(proto)
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    for key, value in entries.items():
        weights.external_data.add(key=key, value=value)
    return proto


# Input data


GOOD = np.zeros((2, 4, 5, 5), np.float32)
BAD_ARRAYS: dict[str, tuple[dict[str, np.ndarray], tuple[str, ...]]] = {
    "another name": ({"y": GOOD}, ("'x'", "'y'")),
    "nothing": ({}, ("'x'",)),
    "one too many": ({"x": GOOD, "z": GOOD}, ("'z'",)),
    "float64": ({"x": GOOD.astype(np.float64)}, ("float32", "float64")),
    "uint8": ({"x": GOOD.astype(np.uint8)}, ("float32", "uint8")),
    "big-endian": ({"x": GOOD.astype(">f4")}, ("float32",)),
    "channels": ({"x": GOOD[:, :3]}, ("4, 5, 5", "3, 5, 5")),
    "rank": ({"x": GOOD[0]}, ("4, 5, 5",)),
    "no samples": ({"x": GOOD[:0]}, ("0, 4, 5, 5",)),
    "objects": ({"x": np.array([None, {}], object)}, ("object",)),
    "text": ({"x": np.array(["a", "b"])}, ("'x'",)),
}


@pytest.mark.parametrize("name", BAD_ARRAYS)
def test_bad_npz(name: str, model: Path, tmp_path: Path, refuse: Callable[..., str]) -> None:
    arrays, words = BAD_ARRAYS[name]
    path = tmp_path / "inputs.npz"
    np.savez(path, **arrays)  # type: ignore[arg-type]
    for command in (("verify", model), ("run", model, "-o", tmp_path / "out.npz")):
        sentence = refuse(*command, "--inputs", path)
        assert all(word in sentence for word in words), sentence


def _header(shape: tuple[int, ...], dtype: str = "<f4") -> bytes:
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


BAD_FILES: dict[str, dict[str, tuple[bytes, int]] | bytes] = {
    "empty file": b"",
    "not a zip": b"x" * 100,
    "an npy file": _header((2, 4, 5, 5)) + bytes(800),
    "an empty member": {"x.npy": (b"", 0)},
    "no array": {"x.npy": (b"hello", 0)},
    "cut data": {"x.npy": (_header((2, 4, 5, 5)), 799)},
    "data left over": {"x.npy": (_header((2, 4, 5, 5)), 801)},
    "a shape of 2^40": {"x.npy": (_header((2**40, 4, 5, 5)), 800)},
    "a negative shape": {"x.npy": (_header((-2, 4, 5, 5)), 800)},
    "a header that is code": {"x.npy": (_header((2, 4, 5, 5)).replace(b"False", b"exit("), 800)},
    "a header without an end": {"x.npy": (_header((2, 4, 5, 5)).replace(b"(2", b"((2"), 800)},
    "a huge header": {"x.npy": (b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**31), 100)},
    "a pickle": {"x.npy": (_header((1,), "|O") + b"cos\nsystem\n(S'true'\ntR.", 0)},
    "a path": {"../x.npy": (_header((2, 4, 5, 5)), 800)},
    "a bomb": {"x.npy": (_header((2**40, 4, 5, 5)), 300 * MIB)},
    "a bomb with a small header": {"x.npy": (_header((2, 4, 5, 5)), 300 * MIB)},
}
"""File contents: bytes, or the members of a zip, each with what it begins with and how many zeros follow."""


@pytest.mark.parametrize("name", BAD_FILES)
def test_damaged_npz(name: str, model: Path, tmp_path: Path, refuse: Callable[..., str]) -> None:
    content, path = BAD_FILES[name], tmp_path / "inputs.npz"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for member, (begin, zeros) in content.items():
                archive.writestr(member, begin + bytes(zeros))
    refuse("verify", model, "--inputs", path)


@pytest.mark.parametrize("length", [10, 100, -30, -5])
def test_truncated_npz(length: int, model: Path, tmp_path: Path, refuse: Callable[..., str]) -> None:
    path = tmp_path / "inputs.npz"
    np.savez_compressed(path, x=np.random.default_rng(0).random(GOOD.shape, np.float32))
    path.write_bytes(path.read_bytes()[:length])
    refuse("verify", model, "--inputs", path)


def test_missing_npz(model: Path, tmp_path: Path, refuse: Callable[..., str]) -> None:
    assert "nowhere.npz" in refuse("verify", model, "--inputs", tmp_path / "nowhere.npz")
    refuse("verify", model, "--inputs", tmp_path)


# Options


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--numerics", "orf"), ("orf", "ort")),
        (("--against", "orf"), ("orf", "ort")),
        (("--kernels", "avx9"), ("avx9", "reference")),
        (("--bias", "none"), ("none", "as-is")),
        (("--random", "0"), ("0",)),
        (("--random", "-3"), ("-3",)),
        (("--random", str(2**40)), ()),
        (("--random", "2", "--cifar10", "2"), ("--random", "--cifar10")),
        (("--cifar10", "2"), ()),
    ],
    ids=lambda v: " ".join(v) if v else "",
)
def test_bad_options(options: tuple[str, ...], words: tuple[str, ...], model: Path, refuse: Callable[..., str]) -> None:
    sentence = refuse("verify", model, *options)
    assert all(word in sentence for word in words), sentence


@pytest.mark.parametrize("options", [("--threads", "-1"), ("--batch", "0"), ("--seed", "x"), ("--nonsense",)])
def test_bad_usage(options: tuple[str, ...], model: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """What the command line itself refuses: exit code 2 and no traceback."""
    assert exit_code(["verify", str(model), *options]) == 2
    assert "Traceback" not in "".join(capfd.readouterr())


def test_output_that_cannot_be_written(model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The resolved settings come first on stderr; the last line says what failed."""
    assert exit_code(["run", str(model), "-o", str(tmp_path / "nowhere" / "out.npz")]) == 2
    last = capfd.readouterr().err.splitlines()[-1]
    assert last.startswith("q8emu: ") and "nowhere" in last
