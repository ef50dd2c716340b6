# SPDX-License-Identifier: Apache-2.0
"""Inputs on the command line: random ones and CIFAR-10; the commands that fetch and check files."""

from __future__ import annotations

import hashlib
import io
import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from command_line import Outcome
from http_files import Site, site
from q8emu.data_folder import VARIABLE
from q8emu.datasets import cifar10, cifar10_fetch
from q8emu.errors import BadInput
from q8emu.models import checkpoints
from small_models import Model, residual

SPEC = ("--kernels", "spec")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The residual network with an open batch."""
    return residual(tmp_path_factory.mktemp("models") / "m.onnx")


def test_random_inputs_reach_every_code_and_beyond(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Saturation on both ends included; the same seed gives the same inputs."""
    hashes = []
    for seed in (1, 1, 2):
        found = Outcome(
            capsys, "verify", model, *SPEC, "--random", 16, "--seed", seed, "--json", "--against", "ort"
        ).json
        hashes.append(found["fingerprint"]["input sha256"])
    assert hashes[0] == hashes[1] != hashes[2]
    Outcome(capsys, "run", model, *SPEC, "--random", 16, "-o", tmp_path / "o.npz", "--tensor", "x_q")
    with np.load(tmp_path / "o.npz") as file:
        codes, counts = np.unique(file["x_q"], return_counts=True)
    assert len(codes) == 256
    assert min(counts[0], counts[-1]) > 3 * np.median(counts), "the ends collect what saturates"


def fake_cifar10(folder: Path) -> Path:
    """Test images with known pixels, in the official layout."""
    rows = np.zeros((10_000, 3073), np.uint8)
    rows[:, 0], rows[0, 1], rows[0, 1025], rows[1, 3072] = 7, 11, 22, 33
    folder.mkdir(parents=True)
    rows.tofile(folder / "test_batch.bin")
    return folder


def test_cifar10_pixels_are_raw_in_the_layout_of_the_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """NCHW and NHWC give the same pixels, 0..255."""
    folder = fake_cifar10(tmp_path / "c")
    for shape, out in (((1, 3, 32, 32), "nchw"), ((1, 32, 32, 3), "nhwc")):
        made = Model("uint8")
        y = made.quantize("x", "x_q", 1.0)
        made.nodes[-1].output[0] = "y" if y else ""
        made.nodes[0].input[2] = made.nodes[1].input[2] = made.constant("zero", np.array(0, np.uint8))
        path = made.save(tmp_path / f"{out}.onnx", shape, shape)
        npz = tmp_path / f"{out}.npz"
        outcome = Outcome(capsys, "run", path, *SPEC, "--cifar10", 2, "--data", folder, "--tensor", "x_q", "-o", npz)
        assert outcome.code == 0, outcome.err
        with np.load(npz) as file:
            found = file["x_q"] if out == "nchw" else file["x_q"].transpose(0, 3, 1, 2)
        assert (found[0, 0, 0, 0], found[0, 1, 0, 0], found[1, 2, 31, 31]) == (11, 22, 33)
    Outcome(capsys, "run", path, "--cifar10", 20_000, "--data", folder).assert_sentence("1 to 10000")


# q8emu data, q8emu models


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Seven small files, which are the official ones of the binary layout in this test."""
    contents = {name: name.encode() * 9 for name in cifar10.BINARY.files} | {
        "batches.meta.txt": "\n".join(cifar10.CLASSES).encode()
    }
    files = {
        name: cifar10.Official(len(contents[name]), md5(contents[name]) if file.md5 else "")
        for name, file in cifar10.BINARY.files.items()
    }
    changed = replace(cifar10.BINARY, files=files)
    monkeypatch.setattr(cifar10, "BINARY", changed)
    monkeypatch.setattr(cifar10, "LAYOUTS", (changed, cifar10.PYTHON))
    return contents


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the data, named by the variable; it does not exist yet."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "home"))
    return tmp_path / "home"


@contextmanager
def official(content: bytes, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A server of the archive, which is the official one in this test."""
    with site(content) as server:
        remote = replace(
            cifar10_fetch.ARCHIVE, address=server.address, size=len(content), checksum=f"md5:{md5(content)}"
        )
        monkeypatch.setattr(cifar10_fetch, "ARCHIVE", remote)
        yield server


def archive_with(*members: tuple[str, bytes]) -> bytes:
    """A tar.gz, with a link in it that leads out."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        link = tarfile.TarInfo("data_batch_1.bin")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def names(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.is_dir())


@pytest.mark.parametrize("where", ["variable", "option", "cache"])
def test_data_fetch(
    where: str,
    package: Callable[..., ModuleType],
    small: dict[str, bytes],
    home: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """From an interruption to a whole dataset, wherever it goes; a second time fetches nothing."""
    package("pooch", "workflow")
    folder = home
    if where == "cache":
        monkeypatch.delenv(VARIABLE)
        monkeypatch.setenv("XDG_CACHE_HOME", str(home))
        folder = home / "q8emu"
    option = ["--data", folder] if where == "option" else []
    content = archive_with(*((f"{cifar10.BINARY.folder}/{name}", data) for name, data in small.items()))
    with official(content, monkeypatch) as server:
        server.plan = ["cut 100"]
        outcome = Outcome(capsys, "data", "fetch", "cifar10", "--json", *option)
        target = folder / "cifar10" / cifar10.BINARY.folder
        states = dict.fromkeys(small, "ok")
        assert outcome.code == 0, outcome.err
        assert outcome.json == {
            "schema": "q8emu.data/1",
            "dataset": "cifar10",
            "folder": str(target),
            "layout": "binary",
            "files": states,
        }
        assert f"q8emu data fetch: from {server.address}; into {folder}" in outcome.err
        assert {name: (target / name).read_bytes() for name in names(target)} == small
        assert server.seen == ["", "bytes=100-"]
        assert Outcome(capsys, "data", "fetch", "cifar10", *option).code == 0
        (target / "test_batch.bin").write_bytes(b"damaged")
        assert Outcome(capsys, "data", "fetch", "cifar10", *option).code == 0
        assert len(server.seen) == 3
        assert (target / "test_batch.bin").read_bytes() == small["test_batch.bin"]


def test_the_python_layout_is_enough(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it is whole, nothing is fetched."""
    files = {name: cifar10.Official(3, md5(b"abc")) for name in cifar10.PYTHON.files}
    monkeypatch.setattr(cifar10, "LAYOUTS", (cifar10.BINARY, replace(cifar10.PYTHON, files=files)))
    folder = home / cifar10.PYTHON.folder
    folder.mkdir(parents=True)
    for name in files:
        (folder / name).write_bytes(b"abc")
    with official(b"nothing", monkeypatch) as server:
        outcome = Outcome(capsys, "data", "fetch", "cifar10", "--json")
    assert (outcome.code, outcome.json["layout"], outcome.json["folder"]) == (0, "python", str(folder))
    assert server.seen == []


def test_no_path_of_the_archive_is_used(
    package: Callable[..., ModuleType],
    small: dict[str, bytes],
    home: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only known names are written, under those names, and links not at all; what is missing then makes exit code 1."""
    package("pooch", "workflow")
    content = archive_with(
        ("../../test_batch.bin", small["test_batch.bin"]), ("/etc/evil", b"x"), ("../evil.bin", b"x"), ("a/..", b"x")
    )
    with official(content, monkeypatch):
        outcome = Outcome(capsys, "data", "fetch", "cifar10", "--json")
    assert outcome.code == 1
    assert [name for name, state in outcome.json["files"].items() if state == "ok"] == ["test_batch.bin"]
    assert names(home.parent) == ["home/cifar10/cifar-10-batches-bin/test_batch.bin"]


@pytest.mark.parametrize("limit", ["MAX_MEMBERS", "MAX_BYTES"])
def test_archives_are_bounded(
    limit: str,
    package: Callable[..., ModuleType],
    small: dict[str, bytes],
    home: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    package("pooch", "workflow")
    monkeypatch.setattr(cifar10_fetch, limit, 3)
    with official(archive_with(*small.items()), monkeypatch):
        outcome = Outcome(capsys, "data", "fetch", "cifar10")
    assert outcome.code == 2
    assert "too many files or too large ones" in outcome.err
    assert "data_batch_5.bin" not in str(names(home))


@pytest.mark.parametrize(("content", "sentence"), [(b"no archive", "cannot be unpacked"), (b"", "cannot be unpacked")])
def test_an_archive_that_is_none(
    content: bytes,
    sentence: str,
    package: Callable[..., ModuleType],
    home: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    package("pooch", "workflow")
    with official(content or archive_with(("test_batch.bin", bytes(10**6)))[:-30], monkeypatch):
        outcome = Outcome(capsys, "data", "fetch", "cifar10")
    assert outcome.code == 2
    assert sentence in outcome.err
    assert "test_batch.bin" not in names(home / "cifar10" / cifar10.BINARY.folder)


@pytest.mark.usefixtures("home")
def test_data_without_pooch(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Fetching needs it, reading and checking do not."""
    monkeypatch.setitem(sys.modules, "pooch", None)
    for command in (("data", "fetch", "cifar10"), ("models", "fetch", "resnet8")):
        outcome = Outcome(capsys, *command)
        assert outcome.code == 2
        assert "pip install 'q8emu[workflow]'" in outcome.err
        assert outcome.err.count("\n") == 2, "the settings, and one sentence"
    folder = fake_cifar10(tmp_path / "c")
    assert cifar10.test_images(folder)[0].shape == (10_000, 3, 32, 32)
    assert Outcome(capsys, "data", "check", folder).code == 1


def test_data_check(small: dict[str, bytes], home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each file by name; exit code 1 unless all are right, 2 where there is nothing to look at."""
    outcome = Outcome(capsys, "data", "check")
    target = home / "cifar10" / cifar10.BINARY.folder
    assert outcome.code == 1
    assert outcome.out.count("missing") == 7
    assert "'q8emu data fetch cifar10' fetches" in outcome.err
    assert f"binary layout, in {target}\n" in outcome.out
    target.mkdir(parents=True)
    for name, content in small.items():
        (target / name).write_bytes(content)
    outcome = Outcome(capsys, "data", "check", home)
    assert outcome.code == 0
    assert outcome.out.count("ok ") == 7
    (target / "data_batch_4.bin").write_bytes(b"short")
    (target / "data_batch_5.bin").write_bytes(bytes(10**4))
    outcome = Outcome(capsys, "data", "check", target, "--json")
    assert outcome.code == 1
    changed = {"data_batch_4.bin": "short", "data_batch_5.bin": "differs"}
    assert outcome.json["schema"] == "q8emu.data/1"
    assert outcome.json["files"] == dict.fromkeys(small, "ok") | changed
    Outcome(capsys, "data", "check", home / "none").assert_sentence("There is no folder", str(home / "none"))
    Outcome(capsys, "data", "fetch", "imagenet").assert_sentence("no dataset 'imagenet'; known datasets: cifar10")


def test_models_fetch(
    package: Callable[..., ModuleType], home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The published model comes with its licence; what is there is checked, and replaced where it differs."""
    package("pooch", "workflow")
    content = b"a model" * 1000
    sha256 = hashlib.sha256(content).hexdigest()
    with site(content) as server:
        real = checkpoints.CHECKPOINTS["resnet8"]
        remote = replace(real.remote, address=server.address, size=len(content), checksum=f"sha256:{sha256}")
        monkeypatch.setitem(checkpoints.CHECKPOINTS, "resnet8", replace(real, remote=remote))
        with pytest.raises(BadInput, match="fetch it with 'q8emu models fetch resnet8'"):
            checkpoints.find("resnet8", None)
        server.plan = ["cut 3000"]
        outcome = Outcome(capsys, "models", "fetch", "resnet8", "--json")
        path = home / "mlperf_tiny" / "ic" / "pretrainedResnet.h5"
        assert outcome.json == {
            "schema": "q8emu.models/1",
            "model": "resnet8",
            "path": str(path),
            "sha256": sha256,
            "licence": "Apache-2.0",
            "source": server.address,
        }
        assert path.read_bytes() == content
        assert checkpoints.find("resnet8", None) == checkpoints.find("resnet8", path.parent) == path
        path.write_bytes(b"another model")
        with pytest.raises(BadInput, match=f"is not the published 'resnet8': SHA-256 {sha256} expected"):
            checkpoints.find("resnet8", None)
        outcome = Outcome(capsys, "models", "fetch", "resnet8")
        assert (outcome.code, path.read_bytes()) == (0, content)
        assert outcome.out.startswith(f"{path}\n")
        assert "Apache-2.0" in outcome.out
    Outcome(capsys, "models", "fetch", "vgg").assert_sentence("no published model 'vgg'; known models: resnet8")


def test_the_real_model_is_the_published_one(data_dir: Path) -> None:
    path = data_dir / "mlperf_tiny" / "ic" / "pretrainedResnet.h5"
    if not path.is_file():
        pytest.skip("needs mlperf_tiny/ic/pretrainedResnet.h5 in Q8EMU_DATA")
    assert checkpoints.find("resnet8", data_dir) == path
    assert path.stat().st_size == checkpoints.CHECKPOINTS["resnet8"].remote.size
