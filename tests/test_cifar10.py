# SPDX-License-Identifier: Apache-2.0
"""CIFAR-10 in both official layouts: where it is looked for, what is read, what is refused, and what a check says."""

from __future__ import annotations

import hashlib
import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import python2_pickle
from q8emu import data_folder, unpickle
from q8emu.datasets import cifar10
from q8emu.datasets.cifar10_batch import NUMPY, read_batch
from q8emu.errors import BadInput
from q8emu.unpickle import MAX_INSTRUCTIONS, Damaged

Images = tuple[np.ndarray, np.ndarray]
BOTH = pytest.mark.parametrize("layout", cifar10.LAYOUTS, ids=lambda layout: layout.name)


@pytest.fixture(scope="module")
def made() -> Images:
    """Six batches; the last one is the test set."""
    return python2_pickle.made_images(3, 6)


@pytest.fixture(scope="module")
def both(made: Images, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folder of each layout, with the same images."""
    root = tmp_path_factory.mktemp("cifar10")
    return {each.name: python2_pickle.write(root / each.folder, each, *made) for each in cifar10.LAYOUTS}


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no variable."""
    monkeypatch.delenv(data_folder.VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "q8emu"


# Where


@BOTH
def test_the_places(layout: cifar10.Layout, tmp_path: Path, nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The option before the variable before the cache; the folder itself, or one of two below it."""
    for base in (tmp_path / "option", tmp_path / "variable", nowhere):
        for below in ("", layout.folder, f"cifar10/{layout.folder}"):
            place = base / below
            place.mkdir(parents=True, exist_ok=True)
            file = place / layout.test[0]
            file.touch()
            monkeypatch.setenv(data_folder.VARIABLE, "" if base == nowhere else str(tmp_path / "variable"))
            assert cifar10.locate(base if base.name == "option" else None) == (place, layout)
            file.unlink()


def test_the_binary_layout_is_preferred(tmp_path: Path) -> None:
    for layout in cifar10.LAYOUTS:
        (tmp_path / layout.folder).mkdir()
        (tmp_path / layout.folder / layout.train[0]).touch()
    assert cifar10.find(tmp_path) == tmp_path / cifar10.BINARY.folder


@pytest.mark.usefixtures("nowhere")
def test_an_absent_dataset_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInput, match=r"cache/q8emu' \(the user's cache\); fetch it with 'q8emu data fetch cifar10'"):
        cifar10.find(None)
    monkeypatch.setenv(data_folder.VARIABLE, str(tmp_path / "x"))
    with pytest.raises(BadInput, match=r"x' \(Q8EMU_DATA\); fetch it"):
        cifar10.test_images(None)
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match=r"file' \(given\) is a file"):
        cifar10.find(tmp_path / "file")


def test_the_cache_is_the_one_of_pooch(package: Callable[..., ModuleType], monkeypatch: pytest.MonkeyPatch) -> None:
    pooch = package("pooch", "workflow")
    for value in ("/tmp/some/cache", "", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert data_folder.cache_folder() == pooch.os_cache("q8emu")


# What is read


def test_my_pickles_are_what_python_reads(made: Images) -> None:
    """The batches that these tests make are pickles with the entries of the official ones."""
    content = python2_pickle.batch(made[0][0], made[1][0])
    found = pickle.loads(content, encoding="bytes")
    assert list(found) == [b"batch_label", b"labels", b"data", b"filenames"]
    assert found[b"data"].dtype == np.uint8
    np.testing.assert_array_equal(found[b"data"], made[0][0].reshape(10_000, 3072))
    assert found[b"labels"] == made[1][0].tolist()
    assert found[b"filenames"][9_999] == b"image_s_009999.png"


@BOTH
def test_both_layouts_hold_the_same(layout: cifar10.Layout, both: dict[str, Path], made: Images) -> None:
    images, labels = made
    for found, part in ((cifar10.train_images, slice(0, 5)), (cifar10.test_images, slice(5, 6))):
        read_images, read_labels = found(both[layout.name])
        assert read_images.dtype == read_labels.dtype == np.dtype(np.uint8)
        assert np.array_equal(read_images, images[part].reshape(-1, 3, 32, 32))
        assert np.array_equal(read_labels, labels[part].reshape(-1))
        assert read_images.flags.writeable


def test_real_images_through_the_python_layout(cifar10_dir: Path, tmp_path: Path) -> None:
    """All 60,000 images, pickled as Python 2 did and read back."""
    train, test = cifar10.train_images(cifar10_dir), cifar10.test_images(cifar10_dir)
    images, labels = (np.concatenate([a, b]) for a, b in zip(train, test, strict=True))
    folder = python2_pickle.write(
        tmp_path / cifar10.PYTHON.folder,
        cifar10.PYTHON,
        images.reshape(6, 10_000, 3, 32, 32),
        labels.reshape(6, 10_000),
    )
    for split, read in ((train, cifar10.train_images), (test, cifar10.test_images)):
        for expected, found in zip(split, read(folder), strict=True):
            assert np.array_equal(found, expected)


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("module", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
def test_pickles_of_python_3(made: Images, protocol: int, module: bytes) -> None:
    """Bytes are text that is encoded in protocol 2, and bytes in protocol 3; the module of the array has moved once."""
    images, labels = made[0][0], made[1][0]
    entries = {b"labels": labels.tolist(), b"data": images.reshape(10_000, 3072)}
    content = pickle.dumps(entries, protocol=protocol)
    assert (b"_codecs" in content) == (protocol == 2)
    content = content.replace(b"numpy._core.multiarray", module).replace(b"numpy.core.multiarray", module)
    found_images, found_labels = read_batch(content, "batch")
    np.testing.assert_array_equal(found_images, images)
    np.testing.assert_array_equal(found_labels, labels)


# What is refused


class Hostile:
    """Unpickling it makes a file."""

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("touch pwned",)


def pickled(**entries: object) -> bytes:
    return pickle.dumps(entries, protocol=2)


def made_batch(**changes: object) -> bytes:
    """A pickle of Python 3 that would be right but for the changes."""
    entries = {"data": np.zeros((10_000, 3072), np.uint8), "labels": [0] * 10_000}
    return pickled(**{k: v for k, v in (entries | changes).items() if v is not None})


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "call": (lambda: pickled(data=Hostile(), labels=[]), "calls 'posix system'"),
    "call in a list": (lambda: pickled(x=[[Hostile()]]), "calls 'posix system'"),
    "call of text": (lambda: b"\x80\x02U\x01a)R.", "calls something that is no function"),
    "eval": (lambda: b"\x80\x02c__builtin__\neval\nU\x011\x85R.", "calls '__builtin__ eval'"),
    "old instance": (lambda: b"(S'touch pwned'\nios\nsystem\n.", "the instruction STRING, which numpy does not write"),
    "object": (lambda: b"\x80\x02(cos\nsystem\nU\x0btouch pwnedo.", "the instruction OBJ"),
    "persistent id": (lambda: b"\x80\x02U\x01aQ.", "the instruction BINPERSID"),
    "extension": (lambda: b"\x80\x02\x82\x01.", "the instruction EXT1"),
    "protocol 4": (lambda: pickle.dumps({"a": "b"}, protocol=4), "which numpy does not write"),
    "state of a dictionary": (lambda: b"\x80\x02}}b.", "builds something else than an object"),
    "another class": (lambda: python2_pickle.batch(*zeros()).replace(b"numpy\nndarray", b"numpy\nmatrixx"), "own"),
    "another codec": (lambda: pickled(x=b"\xff").replace(b"latin1", b"utf_16"), "another encoding than latin1"),
    "no end": (lambda: b"\x80\x02}", "does not load"),
    "empty": (lambda: b"", "does not load"),
    "cut": (lambda: python2_pickle.batch(*zeros())[:-200_000], "does not load"),
    "stack underflow": (lambda: b"\x80\x02tR.", "does not load"),
    "unknown memo": (lambda: b"\x80\x02h\x07.", "does not load"),
    "key": (lambda: pickle.dumps({(1, 2): 3}, protocol=2), "keys that are neither text nor numbers"),
    "list": (lambda: pickle.dumps([1], protocol=2), "'list', expected a dictionary"),
    "no labels": (lambda: made_batch(labels=None), "without 'labels'"),
    "no data": (lambda: made_batch(data=None), "without 'data'"),
    "few labels": (lambda: made_batch(labels=[1, 2]), "'labels' that are not 10,000 numbers"),
    "label 10": (lambda: made_batch(labels=[10] * 10_000), "numbers from 0 to 9"),
    "label of text": (lambda: made_batch(labels=["1"] * 10_000), "numbers from 0 to 9"),
    "data of text": (lambda: made_batch(data="x"), "'str' as 'data', expected an array"),
    "dtype": (lambda: made_batch(data=np.zeros((10_000, 3072), np.int8)), r"not uint8\[10000, 3072\]"),
    "dtype object": (lambda: made_batch(data=np.zeros((2, 2), object)), r"not uint8\[10000, 3072\]"),
    "shape": (lambda: made_batch(data=np.zeros((100, 3072), np.uint8)), r"not uint8\[10000, 3072\]"),
    "order": (lambda: made_batch(data=np.zeros((3072, 10_000), np.uint8).T), "row by row"),
    "wrong bytes": (lambda: python2_pickle.batch(*zeros(9_999)).replace(b"M\x0f'", b"M\x10'"), "bytes of pixels"),
}  # fmt: skip


def zeros(count: int = 10_000) -> Images:
    return np.zeros((count, 3, 32, 32), np.uint8), np.zeros(count, np.uint8)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pickles_are_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence that names the file; nothing ran."""
    monkeypatch.chdir(tmp_path)
    make, sentence = HOSTILE[name]
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "test_batch").write_bytes(make())
    with pytest.raises(BadInput, match=sentence) as problem:
        cifar10.test_images(folder)
    assert "CIFAR-10: '" in str(problem.value)
    assert "test_batch' has " in str(problem.value)
    assert [p.name for p in tmp_path.iterdir()] == ["data"]


def test_a_pickle_of_many_instructions_is_refused() -> None:
    with pytest.raises(Exception, match=f"more than {MAX_INSTRUCTIONS:,} instructions"):
        read_batch(b"\x80\x02" + b"N" * (MAX_INSTRUCTIONS + 1) + b".", "batch")


def test_few_bytes_cannot_ask_for_much_memory() -> None:
    """A text that is encoded a thousand times is one text."""
    text = b"X" + (100_000).to_bytes(4, "little") + b"a" * 100_000
    once = b"h\x00h\x01h\x02\x86R"
    content = b"\x80\x02c_codecs\nencode\nq\x00" + text + b"q\x01U\x06latin1q\x02](" + once * 1000 + b"e."
    found = unpickle.load(content, "batch", NUMPY)
    assert len(found) == 1000
    assert all(value is found[0] for value in found)


def test_damaged_bytes_never_escape(rng: np.random.Generator) -> None:
    """A thousand damaged pickles: each is read, or is Damaged; nothing else is raised."""
    whole = pickle.dumps({b"labels": [1, 2, 3] * 20, b"data": np.zeros((4, 5), np.uint8), b"x": b"\xff"}, protocol=2)
    for _ in range(1000):
        broken = np.frombuffer(whole, np.uint8).copy()
        for place in rng.integers(0, len(whole), rng.integers(1, 6)):
            broken[place] = rng.integers(0, 256)
        with pytest.raises(Damaged):
            read_batch(broken.tobytes()[: rng.integers(1, len(whole) + 1)], "batch")


@BOTH
def test_a_damaged_file_is_named(layout: cifar10.Layout, both: dict[str, Path], tmp_path: Path) -> None:
    """Missing, short, and with a class that there is not."""
    folder = tmp_path / layout.folder
    folder.mkdir()
    for name in layout.train:
        (folder / name).hardlink_to(both[layout.name] / name)
    third, test = folder / layout.train[2], folder / layout.test[0]
    with pytest.raises(BadInput, match=f"cannot read '{test}' .No such file or directory.; 'q8emu data check'"):
        cifar10.test_images(tmp_path)
    content = third.read_bytes()
    third.unlink()
    third.write_bytes(content[:-1_000_000])
    with pytest.raises(BadInput, match=f"'{third}' has .*(29,730,000 bytes, expected 30,730,000|does not load)"):
        cifar10.train_images(tmp_path)
    third.unlink()
    with pytest.raises(BadInput, match=f"cannot read '{third}'"):
        cifar10.train_images(tmp_path)
    if layout is cifar10.BINARY:
        third.write_bytes(b"\x0a" + content[1:])
        with pytest.raises(BadInput, match="an image of class 10, expected 0 to 9"):
            cifar10.train_images(tmp_path)


# What a check says


def official(folder: Path, layout: cifar10.Layout) -> cifar10.Layout:
    """The layout whose official files are those in the folder."""
    files = {}
    for name, file in layout.files.items():
        content = (folder / name).read_bytes()
        md5 = hashlib.md5(content, usedforsecurity=False).hexdigest() if file.md5 else ""
        files[name] = cifar10.Official(len(content), md5)
    return replace(layout, files=files)


@BOTH
def test_a_check_tells_four_states(layout: cifar10.Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i, name in enumerate(layout.files):
        (tmp_path / name).write_bytes(
            bytes([i]) * 100 if layout.files[name].md5 else "\n".join(cifar10.CLASSES).encode()
        )
    changed = official(tmp_path, layout)
    monkeypatch.setattr(cifar10, "LAYOUTS", (changed,))
    assert cifar10.check(tmp_path) == cifar10.Checked(tmp_path, layout.name, dict.fromkeys(layout.files, "ok"))
    assert cifar10.check(tmp_path).is_whole
    first, second, third = layout.train[:3]
    names = next(iter(layout.files))
    (tmp_path / first).write_bytes(b"short")
    (tmp_path / second).write_bytes(bytes(100))
    (tmp_path / third).unlink()
    (tmp_path / names).write_bytes(b"x" * 200)
    (tmp_path / layout.test[0]).write_bytes((tmp_path / layout.test[0]).read_bytes() + b"longer")
    found = cifar10.check(tmp_path)
    assert not found.is_whole
    bad = {first: "short", second: "differs", third: "missing", names: "differs", layout.test[0]: "differs"}
    assert found.files == dict.fromkeys(layout.files, "ok") | bad


def test_real_files_are_the_official_ones(cifar10_dir: Path, data_dir: Path) -> None:
    assert [cifar10.find(named) for named in (cifar10_dir, cifar10_dir.parent, data_dir)] == [cifar10_dir] * 3
    found = cifar10.check(data_dir)
    assert found == cifar10.Checked(cifar10_dir, "binary", dict.fromkeys(cifar10.BINARY.files, "ok"))


def test_names_may_end_with_an_empty_line(cifar10_dir: Path, tmp_path: Path) -> None:
    """The official batches.meta.txt has 61 bytes, copies 60; the ten names count."""
    name = "batches.meta.txt"
    content = (cifar10_dir / name).read_bytes()
    for text, state in ((content.rstrip() + b"\n\n", "ok"), (content.rstrip(), "ok"), (content[:-8], "short")):
        (tmp_path / name).write_bytes(text)
        assert cifar10.compare(tmp_path, cifar10.BINARY).files[name] == state
