# SPDX-License-Identifier: Apache-2.0
"""Files from the network: pooch checks and places them, our own downloader goes on where an earlier one stopped.

What has arrived is in the folder NAME.part. The file itself appears when all of it is there and has the checksum.
"""

from __future__ import annotations

import fcntl
import logging
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from q8emu.errors import BackendUnavailable, BadInput

if TYPE_CHECKING:
    import requests

Progress = Callable[[int, int, str], None]
"""Called with bytes that are there, bytes in all, and what is fetched."""

ATTEMPTS = 50
PATIENCE = 3
"""Attempts in a row that bring nothing."""

_CONNECT, _SILENCE = 20.0, 60.0  # seconds to wait for a connection, and for the next bytes
_BLOCK = 1 << 18
_AGAIN = frozenset({408, 429})  # of the 4xx answers, those that may change


@dataclass(frozen=True)
class Remote:
    """A file on the network.

    Args:
        name: of the file here.
        address: https.
        size: in bytes.
        checksum: "md5:…" or "sha256:…" of the whole file.
    """

    name: str
    address: str
    size: int
    checksum: str


def fetch(remote: Remote, folder: Path, progress: Progress | None = None, pause: float = 1.0) -> Path:
    """The path of the file in `folder`, downloaded unless it is there with the right checksum.

    Args:
        remote: which file.
        folder: made where it does not exist.
        progress: told about every block.
        pause: seconds between two attempts.

    Raises:
        BackendUnavailable: pooch is missing.
        BadInput: no connection, not that file, or no place for it; what has arrived of it is kept.
    """
    try:
        import pooch
    except ModuleNotFoundError as problem:
        raise BackendUnavailable(
            f"Downloading needs pooch (pip install 'q8emu[workflow]'), which does not import: {problem}."
        ) from problem
    target, work = folder / remote.name, folder / f"{remote.name}.part"
    algorithm, digest = remote.checksum.split(":")
    try:
        if target.is_file() and pooch.file_hash(str(target), algorithm) == digest:
            return target
        with _without_messages(pooch.get_logger()):
            found = pooch.retrieve(
                remote.address,
                known_hash=remote.checksum,
                fname=remote.name,
                path=work,
                downloader=_Resumable(remote, work / "content", progress, pause),
            )
        Path(found).replace(target)
        shutil.rmtree(work)  # with the empty files that a killed process left there
    except ValueError as problem:  # pooch's word for another checksum; it has deleted the file
        raise BadInput(
            f"What {remote.address} sent is not the expected file: its checksum is not {remote.checksum}; it "
            "was deleted, try once more, and then from another network."
        ) from problem
    except OSError as problem:
        raise BadInput(f"'{remote.name}' cannot be written into '{folder}': {_root(problem)}.") from problem
    finally:
        with suppress(OSError):
            work.rmdir()  # unless something has arrived
    return target


@contextmanager
def _without_messages(logger: logging.Logger) -> Iterator[None]:
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


class _Resumable:
    """A downloader as pooch calls it."""

    def __init__(self, remote: Remote, part: Path, progress: Progress | None, pause: float) -> None:
        self._remote, self._part, self._progress, self._pause = remote, part, progress, pause

    def __call__(self, url: str, output_file: str, pooch: Any) -> None:
        with self._part.open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as problem:
                raise BadInput(f"Another process is fetching '{self._part}'; wait for it.") from problem
            try:
                self._complete(file)
                file.flush()
                self._part.replace(output_file)
            finally:
                if file.tell() == 0:
                    self._part.unlink()

    def _complete(self, file: IO[bytes]) -> None:
        if file.tell() > self._remote.size:
            _empty(file)
        idle, problem = 0, ""
        for _ in range(ATTEMPTS):
            before = file.seek(0, 2)
            if before == self._remote.size:
                return
            problem = self._attempt(file, before)
            idle = 0 if file.seek(0, 2) > before else idle + 1
            if idle == PATIENCE:
                break
            if problem:
                time.sleep(self._pause)
        if file.seek(0, 2) < self._remote.size:
            file.flush()
            raise BadInput(
                f"{self._remote.address} could not be fetched: {problem}; "
                f"{file.tell():,} of {self._remote.size:,} bytes are here, and the same command goes on from there."
            )

    def _attempt(self, file: IO[bytes], done: int) -> str:
        """Ask for what is missing; what went wrong, in words, or nothing."""
        import requests
        import urllib3

        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={done}-"} if done else {})
        try:
            with requests.get(
                self._remote.address, headers=headers, stream=True, timeout=(_CONNECT, _SILENCE)
            ) as answer:
                problem = self._refusal(answer, file, done)
                if problem:
                    return problem
                for block in answer.raw.stream(_BLOCK, decode_content=False):
                    self._append(file, block)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as failure:
            return _root(failure)
        return "" if file.tell() == self._remote.size else "the connection ended early"

    def _refusal(self, answer: requests.Response, file: IO[bytes], done: int) -> str:
        """Why this answer is of no use, or nothing; afterwards `file` ends where the answer begins."""
        status = f"{answer.status_code} {answer.reason}"
        if answer.status_code == 206:
            start, total = _range(answer.headers.get("Content-Range", ""))
            if start == done and total == self._remote.size:
                return ""
        elif answer.status_code == 200:
            length = answer.headers.get("Content-Length", "")
            if length.isdigit() and int(length) != self._remote.size:
                self._refuse(f"{int(length):,}")
            _empty(file)
            return ""
        elif 400 <= answer.status_code < 500 and answer.status_code not in {416, *_AGAIN}:
            raise BadInput(f"{self._remote.address} answers {status}; the file is not there, or this network hides it.")
        if answer.status_code in (206, 416):  # a range that does not continue what is here
            _empty(file)
        return f"the server answers {status}"

    def _append(self, file: IO[bytes], block: bytes) -> None:
        done = file.tell() + len(block)
        if done > self._remote.size:
            _empty(file)
            self._refuse("more")
        file.write(block)
        if self._progress is not None:
            self._progress(done, self._remote.size, f"fetching {self._remote.name}")

    def _refuse(self, found: str) -> None:
        raise BadInput(
            f"{self._remote.address} has another file than expected: {self._remote.size:,} bytes expected, "
            f"{found} found; nothing of it was kept."
        )


def _empty(file: IO[bytes]) -> None:
    file.seek(0)
    file.truncate()


def _range(value: str) -> tuple[int, int]:
    """First byte and total of a Content-Range such as "bytes 5-9/10"; -1 where there is none."""
    unit, _, rest = value.partition(" ")
    span, _, total = rest.partition("/")
    start = span.partition("-")[0]
    return (int(start), int(total)) if unit == "bytes" and start.isdigit() and total.isdigit() else (-1, -1)


def _root(problem: BaseException) -> str:
    """The first cause, in a few words: the libraries wrap it several times."""
    while (cause := problem.__cause__ or problem.__context__) is not None:
        problem = cause
    return getattr(problem, "strerror", None) or str(problem) or type(problem).__name__
