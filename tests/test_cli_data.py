# SPDX-License-Identifier: Apache-2.0
"""Inputs on the command line: random ones, CIFAR-10, and the dataset's own command."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest

from command_line import Outcome
from q8emu.datasets import cifar10
from q8emu.errors import BadInput
from small_models import CHANNELS, Model, residual

SPEC = ("--kernels", "spec")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The residual network with an open batch."""
    return residual(tmp_path_factory.mktemp("models") / "m.onnx")


@pytest.fixture(scope="module")
def hosted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A convolution and a float Erf behind it; the batch is fixed to 2."""
    made = Model()
    y = made.quantize(made.conv(made.quantize("x", "x_q", 0.02), "conv", 3), "conv_q", 0.02)
    made.add("Erf", [y], "y")
    return made.save(tmp_path_factory.mktemp("hosted") / "m.onnx", [2, 3, 8, 8], [2, CHANNELS, 8, 8])


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


def test_cifar10_reads_the_official_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planes of red, green and blue; found through the option, the environment, and one folder up."""
    folder = fake_cifar10(tmp_path / cifar10.FOLDER)
    images, labels = cifar10.test_images(folder)
    assert (images.shape, labels.shape, int(labels[0])) == ((10_000, 3, 32, 32), (10_000,), 7)
    assert (images[0, 0, 0, 0], images[0, 1, 0, 0], images[1, 2, 31, 31]) == (11, 22, 33)
    monkeypatch.setenv(cifar10.VARIABLE, str(tmp_path))
    assert cifar10.find(None) == folder
    (folder / "test_batch.bin").write_bytes(b"short")
    with pytest.raises(BadInput, match="5 bytes, expected 30,730,000"):
        cifar10.test_images(folder)
    monkeypatch.delenv(cifar10.VARIABLE)
    with pytest.raises(BadInput, match="q8emu data cifar10 --fetch"):
        cifar10.find(None)


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


def test_data_checks_files_by_their_md5(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 1 when something is missing or differs."""
    folder = fake_cifar10(tmp_path / "c")
    outcome = Outcome(capsys, "data", "cifar10", "--folder", folder, "--json")
    assert outcome.code == 1
    assert outcome.json["files"]["test_batch.bin"] == "differs"
    assert outcome.json["files"]["data_batch_1.bin"] == "missing"
    Outcome(capsys, "data", "cifar10", "--folder", tmp_path / "none").assert_sentence("--fetch")
    Outcome(capsys, "data", "cifar10", "--fetch").assert_sentence("--folder DIR")


def archive_with(*members: tuple[str, bytes]) -> bytes:
    """A tar.gz."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        link = tarfile.TarInfo("data_batch_1.bin")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return stream.getvalue()


def test_fetching_checks_the_archive_and_no_path_escapes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only known names are written, under those names; a wrong archive is not unpacked at all."""
    content = archive_with(("../../test_batch.bin", b"images"), ("/etc/evil", b"x"), ("../evil.bin", b"x"))

    class Answer(io.BytesIO):
        def __init__(self, data: bytes) -> None:
            super().__init__(data)
            self.headers = {"Content-Length": str(len(data))}

    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: Answer(content))
    with pytest.raises(BadInput, match="MD5"):
        cifar10.fetch(tmp_path / "wrong")
    assert not list((tmp_path / "wrong" / cifar10.FOLDER).iterdir())
    monkeypatch.setattr(cifar10, "ARCHIVE_MD5", hashlib.md5(content, usedforsecurity=False).hexdigest())
    target = cifar10.fetch(tmp_path / "deep" / "right")
    assert [(file.name, file.read_bytes()) for file in target.iterdir()] == [("test_batch.bin", b"images")]
    assert sorted(file.name for file in tmp_path.rglob("*") if file.is_file()) == ["test_batch.bin"]
