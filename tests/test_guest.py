# SPDX-License-Identifier: Apache-2.0
"""The way to oracles on an emulated machine, with its agent as a process of this one and files for its disks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from guest_mailbox import SECTOR, SIZE, Disk, Feeds
from guest_oracle import Guest, GuestSession, GuestTorch, in_guests
from q8emu.backends import BACKENDS
from q8emu.backends.cpu import this_cpu
from q8emu.backends.torch import TORCH_FBGEMM, Torch
from q8emu.errors import BackendUnavailable
from torch_cases import case

Import = Callable[..., ModuleType]

AGENT = Path(__file__).parent / "guest_agent.py"


def disks(place: Path) -> Path:
    """The two disks that carry messages, empty."""
    place.mkdir()
    for name in ("requests.img", "replies.img"):
        with (place / name).open("wb") as file:
            file.truncate(SIZE)
    return place


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory, package: Import) -> Iterator[Guest]:
    """A machine, whose agent is at work."""
    package("torch", "torch")
    place = disks(tmp_path_factory.mktemp("machines") / "guest0")
    command = [sys.executable, "-W", "ignore", str(AGENT), str(place / "requests.img"), str(place / "replies.img")]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    yield Guest(place)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def session(guest: Guest, model: Path) -> GuestSession:
    """The model, opened there."""
    oracle = GuestTorch(**vars(TORCH_FBGEMM), guests=(guest,))
    return oracle.open(model, ("inner",))


def test_a_message_is_there_when_its_number_is(tmp_path: Path) -> None:
    place = disks(tmp_path / "guest0")
    ours, theirs = Disk(place / "requests.img"), Disk(place / "requests.img")
    assert theirs.number() == 0
    ours.write(1, ["first", np.arange(3)])
    ours.write(2, "second")
    assert theirs.number() == 2
    assert theirs.wait(2) == "second"
    with pytest.raises(TimeoutError, match="no answer"):
        theirs.wait(3, 0.01)
    with pytest.raises(ValueError, match="a message of"):
        ours.write(3, np.zeros(SIZE - SECTOR, np.uint8))
    assert theirs.number() == 2


@pytest.mark.parametrize("different", [1, 2**8, 2**8 + 1, 2**16 + 1])
def test_feeds_arrive_bit_for_bit(rng: np.random.Generator, different: int) -> None:
    """Zeros of both signs and NaNs keep their bits; the number of values decides how wide the indices are."""
    special = np.array([0.0, -0.0, np.inf, -np.inf], np.float32)
    nans = np.array([0x7FC00000, 0xFFC00001], np.uint32).view(np.float32)
    arrays = [
        np.arange(different, dtype=np.float32).reshape(1, -1),
        np.concatenate([special, nans]),
        rng.choice(special, (2, 3, 4)),
        np.zeros((2, 0), np.float32),
        np.asarray(7, np.float32),
    ]
    for sent, came in zip(arrays, Feeds.of(arrays).arrays(), strict=True):
        assert sent.shape == came.shape
        assert sent.tobytes() == came.tobytes()


def test_no_machine_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no emulated machine"), in_guests(tmp_path):
        pass


def test_the_oracle_asks_the_machine(guest: Guest) -> None:
    with in_guests(guest.folder.parent):
        oracle = BACKENDS["torch-fbgemm"]
        assert isinstance(oracle, GuestTorch)
        assert oracle.version() == TORCH_FBGEMM.version()
        assert oracle.why_unavailable() == TORCH_FBGEMM.why_unavailable()
        assert oracle.cpu() == f"{this_cpu().describe()}, emulated by Bochs"
    assert BACKENDS["torch-fbgemm"] is TORCH_FBGEMM


@pytest.mark.parametrize("operator", ["conv2d", "cat", "linear_relu"])
def test_results_are_those_of_the_session(
    guest: Guest, tmp_path: Path, rng: np.random.Generator, operator: str
) -> None:
    """The agent's short way of running a file gives what the oracle's session gives on the same CPU."""
    drawn = case(operator, rng, "fbgemm")
    path = drawn.save(tmp_path / "model.pt", "fbgemm")
    here, there = Torch("here", "on this CPU", "fbgemm").open(path, ()), session(guest, path)
    feeds = dict(zip(here.inputs, drawn.feeds.values(), strict=True))
    expected, found = here.run(feeds).outputs, there.run(feeds).outputs
    assert there.hidden == ("inner",)
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        assert np.array_equal(found[name], array)


def test_what_pytorch_refuses_is_a_sentence(guest: Guest, tmp_path: Path, rng: np.random.Generator) -> None:
    there = session(guest, case("add", rng, "fbgemm").save(tmp_path / "model.pt", "fbgemm"))
    with pytest.raises(BackendUnavailable, match=r"^oracle 'torch-fbgemm': .*size of tensor"):
        there.run({"x": np.zeros((1, 2, 3, 4), np.float32), "y": np.zeros((1, 5, 3, 4), np.float32)})


def test_a_worker_that_dies_is_replaced(guest: Guest, tmp_path: Path, rng: np.random.Generator) -> None:
    """Its request is answered, and models that were loaded are loaded again."""
    drawn = case("add", rng, "fbgemm")
    there = session(guest, drawn.save(tmp_path / "model.pt", "fbgemm"))
    first = there.run(drawn.feeds).outputs["output"]
    assert guest.ask("no such request") == ("died", "its process ended with status 256")
    assert np.array_equal(there.run(drawn.feeds).outputs["output"], first)
