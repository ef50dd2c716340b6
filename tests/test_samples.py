# SPDX-License-Identifier: Apache-2.0
"""Calibration samples: as many of each class, from the training set, the same ones everywhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import python2_pickle
from q8emu.datasets import cifar10
from q8emu.errors import BadInput
from q8emu.ptq.samples import MINIMUM, Samples, draw


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made images in the binary layout."""
    images, labels = python2_pickle.made_images(4, 6)
    return python2_pickle.write(tmp_path_factory.mktemp("data") / cifar10.BINARY.folder, cifar10.BINARY, images, labels)


@pytest.fixture(scope="module")
def samples(dataset: Path) -> Samples:
    return Samples.from_training_set(dataset, 20, 7)


@pytest.mark.parametrize(("per_class", "seed"), [(20, 0), (100, 0), (100, 1), (1000, 2)])
def test_every_class_has_as_many(per_class: int, seed: int, rng: np.random.Generator) -> None:
    """Of classes of different sizes too; no image twice."""
    labels = rng.permutation(np.repeat(np.arange(10), np.arange(1000, 2000, 100)))
    drawn = draw(labels, per_class=per_class, seed=seed)
    assert drawn.dtype == np.int64
    assert np.bincount(labels[drawn]).tolist() == [per_class] * 10
    assert np.all(np.diff(drawn) > 0)


def test_the_draw_depends_on_the_seed_alone() -> None:
    """The stream of PCG64 is promised by numpy, so these numbers are the same on every machine."""
    labels = np.arange(10_000) % 10
    assert np.array_equal(draw(labels), draw(labels.astype(np.uint8), per_class=100, seed=0))
    assert draw(labels).size == 1000
    assert draw(labels, per_class=20)[:8].tolist() == [3, 11, 92, 113, 150, 196, 269, 340]
    assert np.isin(draw(labels, per_class=20), draw(labels)).all(), "a larger draw contains a smaller one"
    common = np.intersect1d(draw(labels, seed=0), draw(labels, seed=1)).size
    assert 50 < common < 150, "a tenth of each, by chance"


def test_what_cannot_be_drawn() -> None:
    labels = np.repeat(np.arange(3), (100, 50, 100))
    with pytest.raises(BadInput, match=f"at least {MINIMUM} images per class, found 19"):
        draw(labels, per_class=19)
    with pytest.raises(BadInput, match="Class 1 has 50 images, fewer than the 51 per class"):
        draw(labels, per_class=51)
    with pytest.raises(BadInput, match="seed of the calibration samples is -1"):
        draw(labels, seed=-1)


def test_samples_are_of_the_training_set(dataset: Path, samples: Samples) -> None:
    images, labels = cifar10.train_images(dataset)
    assert (samples.split, samples.dataset, samples.seed, samples.per_class) == ("train", "cifar10", 7, 20)
    assert np.array_equal(samples.indices, draw(labels, per_class=20, seed=7))
    assert not samples.indices.flags.writeable
    assert np.array_equal(samples.images(dataset), images[samples.indices])
    assert np.array_equal(samples.labels(dataset), labels[samples.indices])
    assert samples.distribution == dict.fromkeys(cifar10.CLASSES, 20)
    assert samples.describe().startswith("200 training images of cifar10, seed 7: airplane 20, automobile 20, bird 20")


def test_a_saved_record_is_the_same_record(dataset: Path, samples: Samples, tmp_path: Path) -> None:
    path = tmp_path / "samples.json"
    samples.save(path)
    loaded = Samples.load(path)
    assert loaded.as_json() == samples.as_json() == json.loads(path.read_text())
    assert np.array_equal(loaded.images(dataset), samples.images(dataset))
    assert not loaded.indices.flags.writeable


def test_the_layout_does_not_matter(dataset: Path, samples: Samples, tmp_path: Path) -> None:
    """The same images from the Python layout have the same hash."""
    images, labels = cifar10.train_images(dataset)
    batches = (images.reshape(5, 10_000, 3, 32, 32), labels.reshape(5, 10_000))
    folder = tmp_path / "py"
    folder.mkdir()
    for i, name in enumerate(cifar10.PYTHON.train):
        (folder / name).write_bytes(python2_pickle.batch(batches[0][i], batches[1][i]))
    assert np.array_equal(samples.images(folder), images[samples.indices])
    assert Samples.from_training_set(folder, 20, 7).as_json() == samples.as_json()


def test_other_images_are_refused(dataset: Path, samples: Samples, tmp_path: Path) -> None:
    """One changed pixel of one chosen image, or one label, is enough; one of another image is not."""
    other = tmp_path / "other"
    other.mkdir()
    for name in cifar10.BINARY.train[1:]:
        (other / name).hardlink_to(dataset / name)
    first, index = other / cifar10.BINARY.train[0], int(samples.indices[0])
    content = np.fromfile(dataset / first.name, np.uint8)
    for place, is_same in ((3073 * index + 1 + 77, False), (3073 * index, False), (3073 * (index + 1) - 1, False),
                           (3073 * (index + 1) + 5, index + 1 not in samples.indices)):  # fmt: skip
        changed = content.copy()
        changed[place] = (changed[place] + 1) % 10
        changed.tofile(first)
        if is_same:
            assert samples.images(other).shape == (200, 3, 32, 32)
        else:
            with pytest.raises(BadInput, match=f"'{other}' are not those that the samples were drawn from"):
                samples.images(other)


def without(name: str) -> Any:
    return lambda value: value.pop(name)


BROKEN: dict[str, tuple[Any, str]] = {
    "schema": (lambda v: v.update(schema="q8emu.samples/2"), "schema 'q8emu.samples/1', found 'q8emu.samples/2'"),
    "no seed": (without("seed"), "'seed' has to be of type int"),
    "no indices": (without("indices"), "'indices' has to be of type list"),
    "seed of truth": (lambda v: v.update(seed=True), "'seed' has to be of type int"),
    "test images": (lambda v: v.update(split="test"), "split 'train' of 'cifar10', found 'test' of 'cifar10'"),
    "dataset": (lambda v: v.update(dataset="imagenet"), "found 'train' of 'imagenet'"),
    "negative index": (lambda v: v["indices"].__setitem__(0, -1), "ascending indices of training images, 0 to 49999"),
    "large index": (lambda v: v["indices"].__setitem__(-1, 50_000), "ascending indices"),
    "twice": (lambda v: v["indices"].__setitem__(1, v["indices"][0]), "ascending indices"),
    "float index": (lambda v: v["indices"].__setitem__(0, 0.5), "ascending indices"),
    "one less": (lambda v: v["indices"].pop(), "199 indices, but 200 in the distribution"),
    "uneven": (lambda v: v["distribution"].update(cat=19, dog=21), "exactly 20 images of each class.*cat 19, dog 21"),
    "too few": (lambda v: v.update(per_class=2, distribution=dict.fromkeys(v["distribution"], 2)), "at least 20"),
    "no class": (lambda v: v.update(distribution={}), "20 of 0 classes"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_record_is_a_sentence(name: str, samples: Samples, tmp_path: Path) -> None:
    change, sentence = BROKEN[name]
    value = samples.as_json()
    change(value)
    path = tmp_path / "samples.json"
    path.write_text(json.dumps(value))
    with pytest.raises(BadInput, match=sentence) as problem:
        Samples.load(path)
    assert str(path) in str(problem.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"null", b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_record(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "samples.json"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"q8emu\.samples/1"):
        Samples.load(path)
    with pytest.raises(BadInput, match="cannot be read: No such file"):
        Samples.load(tmp_path / "none")


def test_real_samples(cifar10_dir: Path) -> None:
    """The default draw on the real dataset: anybody can compare the hash."""
    found = Samples.from_training_set(cifar10_dir)
    assert found.sha256 == "23dfb8b6d9d97b527fc8a6e35e326231be5f118e65e436aba73f9b55570f854b"
    assert found.indices[:6].tolist() == [3, 11, 92, 113, 150, 196]
    assert np.bincount(found.labels(cifar10_dir)).tolist() == [100] * 10
