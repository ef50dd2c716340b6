# SPDX-License-Identifier: Apache-2.0
"""TorchScript files are read without PyTorch, and a bad one ends in one sentence and exit code 2."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from command_line import Outcome
from q8emu.cli import exit_code
from q8emu.emulator import Emulator, Options
from q8emu.readers.torch import read_torch

DATA = b"\x80\x02c__torch__\nM\n)\x81}(X\x08\x00\x00\x00training\x89ub."
HEAD = "class M(Module):\n  def forward(self: __torch__.M,\n    x: Tensor) -> Tensor:\n"
BODY = "    q = torch.quantize_per_tensor(x, 0.5, 3, 13)\n    return torch.relu(q)\n"


def write(path: Path, members: dict[str, bytes | str] | None = None, compression: int = zipfile.ZIP_STORED) -> Path:
    """A small model: it quantizes and takes the relu; members replace its own."""
    own: dict[str, bytes | str] = {"data.pkl": DATA, "code/__torch__.py": HEAD + BODY}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in (own | (members or {})).items():
            archive.writestr(f"model/{name}", content)
    return path


def code(*lines: str) -> dict[str, bytes | str]:
    """The model with these statements instead."""
    return {"code/__torch__.py": HEAD + "".join(f"    {line}\n" for line in lines)}


def pickled(body: bytes) -> dict[str, bytes | str]:
    """The model with another pickle."""
    return {"data.pkl": b"\x80\x02" + body}


def attribute(value: bytes) -> dict[str, bytes | str]:
    """The model with the attribute w, which it quantizes by."""
    w = b"X\x01\x00\x00\x00w" + value
    read = code("q = torch.quantize_per_tensor(x, self.w, 3, 13)", "return q")
    return {**read, "data.pkl": DATA[:-3] + w + b"ub."}


def tensor(size: bytes, stride: bytes, elements: bytes = b"K\x04") -> bytes:
    """A float32 tensor in the storage data/0."""
    storage = (
        b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu" + elements + b"tQ"
    )
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\x00" + size + stride + b"\x89}tR"


NUMBERS = np.array([0.5, 1, 2, 3], np.float32).tobytes()
ONE, ZERO = b"K\x01\x85", b"K\x00\x85"  # the tuples (1,) and (0,)

OBJECT = b"c__torch__\nM\n)\x81"
TWICE = b"}(X\x01\x00\x00\x00ah\x01X\x01\x00\x00\x00bh\x01ub"  # two attributes that are one value
QUANTIZED = "q = torch.quantize_per_tensor(x, 0.5, 3, 13)"
DOUBLED = ["a = [0]", *["a = [a, a]"] * 60]

BAD: dict[str, tuple[dict[str, bytes | str], str]] = {
    "a branch": (code("if True:", "  x = x", "return x"), "Trace the model"),
    "a call of anything": (code("import os", "return x"), "Trace the model"),
    "a call on a number": (pickled(b"K\x01)\x81."), "does not load"),
    "a call without an end": (code("return (self).forward(x, )"), "calls without an end"),
    "a deep key": (pickled(b"}N" + b"\x85" * 500_000 + b"Ns."), "neither text nor numbers"),
    "a dictionary of pairs": (pickled(b"ccollections\nOrderedDict\n]\x85R."), "does not load"),
    "a function of a pickle": (pickled(b"cposix\nsystem\n(X\x04\x00\x00\x00truetR."), "calls 'posix system'"),
    "a function of shared lists": (pickled(b"]" + b"q\x01]h\x01ah\x01a" * 60 + b")R."), "no function"),
    "a huge memo": (pickled(b"}r\xff\xff\xff\xff."), "no module"),
    "a huge shape": (attribute(tensor(b"J\xff\xff\xff\x7f\x85", ZERO)) | {"data/0": NUMBERS}, "limit"),
    "a key of shared pairs": (pickled(b"}N" + b"q\x01h\x01\x86" * 60 + b"Ns."), "neither text nor numbers"),
    "a list of shared lists": (code(*DOUBLED, QUANTIZED, "return torch.reshape(q, a)"), "4,096 parts"),
    "a long shape": (code(QUANTIZED, f"return torch.reshape(q, {[2] * 4000})"), "…"),
    "a name that is not there": (code("return torch.relu(y)"), "'y', which the code does not define"),
    "a number quantized": (code("return torch.quantize_per_tensor(3, 0.5, 3, 13)"), "wrong kind"),
    "a pickle that is none": (pickled(b"hello"), "does not load"),
    "a scale of shared lists": (code(*DOUBLED, "return torch.quantize_per_tensor(x, a, 3, 13)"), "4,096 parts"),
    "a scale of zero": (code("return torch.quantize_per_tensor(x, 0.0, 3, 13)"), "positive float32"),
    "a storage that is not there": (attribute(tensor(ONE, ONE)), "data/0"),
    "a view beyond its storage": (attribute(tensor(b"K\x03\x85", b"K\x02\x85")) | {"data/0": NUMBERS}, "storage of 4"),
    "a view that repeats": (attribute(tensor(b"K\x7f\x85", ZERO)) | {"data/0": NUMBERS}, "storage of 4"),
    "another dtype": (code("return torch.quantize_per_tensor(x, 0.5, 3, 12)"), "quint8"),
    "code that does not parse": (code("return ((("), "does not parse"),
    "control characters": (pickled(b"cposix\x1b[31m\nsystem\n)R."), "calls 'posix?[31m system'"),
    "copies of a list": (
        pickled(
            b"ctorch.jit._pickle\nbuild_intlist\nq\x00]("
            + b"N" * 100_000
            + b"eq\x01"
            + b"h\x00h\x01\x85R" * 20_000
            + b"."
        ),
        "no module",
    ),
    "deep code": (code("return " + "(" * 5000 + "x" + ")" * 5000), "does not parse"),
    "code that Python warns of": (code("return 1or x"), "1 or x"),
    "no class": ({"code/__torch__.py": "pass\n"}, "no method"),
    "no quantization": (code("return x"), "no quantized tensor"),
    "too many instructions": (pickled(b"N" * 2**21 + b"."), "instructions"),
    "too much code": ({"code/__torch__.py": HEAD + BODY + "#" * 2**21}, "limit"),
    "too much text": ({"code/__torch__.py": HEAD + BODY + "#" * 2**24}, "limit"),
    "unknown operator": (
        code("q = torch.quantize_per_tensor(x, 0.5, 3, 13)", "return torch.lgamma(q)"),
        "torch.lgamma",
    ),
}


def test_a_file_is_read_without_torch(tmp_path: Path) -> None:
    import sys

    before = "torch" in sys.modules
    graph = read_torch(write(tmp_path / "m.pt"), {"": (2, 3)})
    assert [node.op for node in graph.nodes] == ["QuantizeLinear", "Relu", "Identity"]
    assert list(graph.tensors) == ["x", "quantize_per_tensor", "relu", "output"]
    assert ("torch" in sys.modules) == before
    emulator = Emulator(tmp_path / "m.pt", Options("torch-fbgemm", shapes={"x": (1, 3)}))
    x = np.array([[-1, 0.25, 0.75], [1.25, -9, 1e9]], np.float32)
    (part,) = emulator.batches({"x": x})
    assert part.run().outputs["output"].tolist() == [[3, 4, 4], [6, 3, 255]]


def test_a_storage_is_read(tmp_path: Path) -> None:
    members = attribute(tensor(b"K\x01\x85", b"K\x01\x85")) | {"data/0": NUMBERS}
    graph = read_torch(write(tmp_path / "m.pt", members), {"": (1,)})
    assert graph.tensors["quantize_per_tensor"].quant is not None
    assert graph.tensors["quantize_per_tensor"].quant.scale == (0.5,)


def test_modules_that_share_modules_are_read_once(tmp_path: Path) -> None:
    shared = OBJECT + b"}bq\x01" + (OBJECT + TWICE + b"q\x01") * 50 + b"."
    graph = read_torch(write(tmp_path / "m.pt", pickled(shared)), {"": (1,)})
    assert [node.op for node in graph.nodes] == ["QuantizeLinear", "Relu", "Identity"]


@pytest.mark.parametrize("name", BAD)
def test_bad_files(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    members, words = BAD[name]
    path = write(tmp_path / "m.pt", members, zipfile.ZIP_DEFLATED if name == "too much text" else zipfile.ZIP_STORED)
    refused(path, words, capfd, "--shape", "1,4")


def refused(path: Path, words: str, capfd: pytest.CaptureFixture[str], *options: str) -> None:
    """One sentence with these words, exit code 2."""
    found = exit_code(["inspect", str(path), "--numerics", "torch-fbgemm", *options])
    out, err = capfd.readouterr()
    assert found == 2, f"exit code {found}\n{out}\n{err}"
    assert err.startswith("q8emu: ") and err.count("\n") == 1, err
    assert words in err and "Traceback" not in err and out == ""
    assert err[:-1].isprintable() and len(err) < 2100


def test_a_shape_is_asked_for(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "m.pt")
    refused(path, "--shape x=1,3,224,224", capfd)
    refused(path, "inputs are 'x'", capfd, "--shape", "y=1,2")
    refused(path, "expected numbers", capfd, "--shape", "1,a")


def test_every_command_takes_a_shape(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, shape = str(write(tmp_path / "m.pt")), ("--shape", "1,4")
    assert Outcome(capsys, "diff", path, *shape, "--numerics", "torch-fbgemm,torch-qnnpack").code == 0
    assert Outcome(capsys, "convert", path, str(tmp_path / "m.onnx"), *shape).code == 0
    assert Emulator(tmp_path / "m.onnx", Options()).specs[0].shape[1:] == (4,)


def test_members_are_what_they_seem(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "m.pt")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("other/data.pkl", DATA)
    refused(path, "two members of one name", capfd, "--shape", "1,4")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.pkl", DATA)
        archive.writestr("model/code/__torch__.py", HEAD + BODY)
        own = archive.getinfo("model/code/__torch__.py")
        for index in range(9):
            again = zipfile.ZipInfo(f"model/code/{index}.py")
            for field in ("header_offset", "CRC", "compress_size", "file_size"):
                setattr(again, field, getattr(own, field))
            archive.filelist.append(again)
    refused(path, "overlap", capfd, "--shape", "1,4")


def test_a_zip_file_without_code(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "m.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/data.pkl", DATA)
    refused(path, "torch.jit.trace", capfd)
    path.write_bytes(b"PK\x03\x04" + b"\0" * 50)
    refused(path, "not a readable TorchScript file", capfd)
