# SPDX-License-Identifier: Apache-2.0
"""PyTorch on an emulated machine as an oracle: the session that a test opens here runs there.

Only the final outputs are compared: showing the inner tensors would double what is emulated.
"""

from __future__ import annotations

import fcntl
import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from guest_mailbox import Disk, Feeds
from q8emu import backends
from q8emu.backends.torch import TORCH_FBGEMM, Torch
from q8emu.errors import BackendUnavailable
from q8emu.trace import Trace
from torch_cases import arguments

PATIENCE = 900.0
"""Seconds that an emulated machine may take, its start included."""
NUMBERS = itertools.count()


@dataclass(frozen=True)
class Guest:
    """One emulated machine, by the folder of its disks; processes here take turns with it."""

    folder: Path

    def ask(self, *request: Any) -> tuple[Any, ...]:
        """Its reply to one request."""
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            return self._answer(request)

    @property
    def last_used(self) -> float:
        """When it was chosen or asked; what rests for long has nothing to do."""
        return (self.folder / "requests.img").stat().st_mtime

    def choose(self) -> Guest:
        """Itself, from now on in use."""
        os.utime(self.folder / "requests.img")
        return self

    def _answer(self, request: tuple[Any, ...]) -> tuple[Any, ...]:
        requests, replies = Disk(self.folder / "requests.img"), Disk(self.folder / "replies.img")
        try:
            number = replies.number() + 1
            requests.write(number, request)
            reply: tuple[Any, ...] = replies.wait(number, PATIENCE)
            return reply
        finally:
            requests.close()
            replies.close()


@dataclass(frozen=True)
class GuestTorch(Torch):
    """An engine of PyTorch on emulated machines."""

    guests: tuple[Guest, ...] = field(kw_only=True)

    @cached_property
    def _described(self) -> tuple[str | None, str, str]:
        reason, version, cpu = self.guests[0].ask("describe")[1:]
        return reason, version, cpu

    def why_unavailable(self) -> str | None:
        """What the oracle says there."""
        return self._described[0]

    def version(self) -> str:
        """Of the runtime there."""
        return self._described[1]

    def cpu(self) -> str:
        """What it runs on."""
        return f"{self._described[2]}, emulated by Bochs"

    def open(self, model: Path, taps: Sequence[str], *, threads: int = 1) -> GuestSession:  # type: ignore[override]
        """Load the file there."""
        guest = min(self.guests, key=lambda guest: guest.last_used).choose()
        return GuestSession(self, guest, model.read_bytes(), taps)


@contextmanager
def in_guests(folder: Path | None) -> Iterator[None]:
    """Let torch-fbgemm be asked on the machines that run in a folder; no folder, no change."""
    guests = tuple(Guest(place) for place in sorted(folder.glob("guest*"))) if folder else ()
    if folder and not guests:
        raise SystemExit(f"{folder}: no emulated machine runs here; start some with tests/guest_machine.py")
    changed = {TORCH_FBGEMM.name: GuestTorch(**vars(TORCH_FBGEMM), guests=guests)} if guests else {}
    with mock.patch.dict(backends._BY_NAME, changed):
        yield


class GuestSession:
    """One file, loaded there, and again where another one ended the process that had loaded it."""

    def __init__(self, oracle: GuestTorch, guest: Guest, model: bytes, taps: Sequence[str]) -> None:
        self._oracle, self._guest, self._model = oracle, guest, model
        self._arguments = arguments(model)
        self._name = f"{os.getpid()} {next(NUMBERS)}"
        self.hidden = tuple(taps)
        self._done("open", self._name, model)

    def run(self, inputs: Mapping[str, np.ndarray]) -> Trace:
        """Run one batch there."""
        return Trace(self._oracle.name, {}, self.run_plain(inputs))

    def run_plain(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run one batch there."""
        found: dict[str, np.ndarray] = self._done(
            "run", self._name, Feeds.of([inputs[name] for name in self._arguments])
        )[0]
        return found

    def _done(self, *request: Any) -> tuple[Any, ...]:
        kind, *told = self._guest.ask(*request)
        if kind == "unknown":
            self._done("open", self._name, self._model)
            return self._done(*request)
        if kind != "done":
            raise BackendUnavailable(f"oracle '{self._oracle.name}': {told[0]}")
        return tuple(told)
