# SPDX-License-Identifier: Apache-2.0
"""Downloads, from a real server on this machine that breaks off, lies and is silent."""

from __future__ import annotations

import fcntl
import hashlib
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from http_files import Site, site
from q8emu import download
from q8emu.errors import BackendUnavailable, BadInput

SIZE = 300_000
CONTENT = np.random.default_rng(5).bytes(SIZE)
CHECKSUM = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"


@pytest.fixture(autouse=True)
def _needs_pooch(package: Callable[..., ModuleType]) -> None:
    package("pooch", "workflow")


@pytest.fixture
def server() -> Iterator[Site]:
    """A server of CONTENT."""
    with site(CONTENT) as running:
        yield running


def fetch(address: str, folder: Path, progress: download.Progress | None = None) -> Path:
    remote = download.Remote("file.bin", address, SIZE, CHECKSUM)
    return download.fetch(remote, folder, progress, pause=0)


def names(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() or not any(p.iterdir()))


def part(folder: Path) -> Path:
    """What has arrived of the file."""
    (folder / "file.bin.part").mkdir(exist_ok=True)
    return folder / "file.bin.part" / "content"


def test_a_file_is_fetched_once(server: Site, tmp_path: Path) -> None:
    """The second time nobody is asked; a file with another content is fetched again."""
    told: list[tuple[int, int, str]] = []
    folder = tmp_path / "new" / "folder"
    path = fetch(server.address, folder, lambda *now: told.append(now))
    assert path.read_bytes() == CONTENT
    assert names(folder) == ["file.bin"]
    assert [done for done, _, _ in told] == sorted(done for done, _, _ in told)
    assert told[-1] == (SIZE, SIZE, "fetching file.bin")
    fetch(server.address, folder)
    assert server.seen == [""]
    path.write_bytes(b"changed")
    assert fetch(server.address, folder).read_bytes() == CONTENT
    assert server.seen == ["", ""]


def test_what_breaks_off_goes_on(server: Site, tmp_path: Path) -> None:
    server.plan = ["cut 100000", "status 503", "cut 1", "cut 0", "cut 50000"]
    assert fetch(server.address, tmp_path).read_bytes() == CONTENT
    assert server.seen == ["", "bytes=100000-", "bytes=100000-", "bytes=100001-", "bytes=100001-", "bytes=150001-"]
    assert names(tmp_path) == ["file.bin"]


def test_the_next_run_goes_on_where_this_one_gave_up(server: Site, tmp_path: Path) -> None:
    """Nothing has the final name before all of it is there."""
    server.plan = ["cut 70000", *["cut 0"] * download.PATIENCE]
    with pytest.raises(BadInput, match=r"(ended early|IncompleteRead).*; 70,000 of 300,000 bytes are here"):
        fetch(server.address, tmp_path)
    assert names(tmp_path) == ["file.bin.part/content"]
    assert part(tmp_path).read_bytes() == CONTENT[:70_000]
    server.seen.clear()
    (tmp_path / "file.bin.part" / "left by a killed process").touch()
    assert fetch(server.address, tmp_path).read_bytes() == CONTENT
    assert server.seen == ["bytes=70000-"]
    assert names(tmp_path) == ["file.bin"]


def test_an_interrupt_keeps_what_is_there(server: Site, tmp_path: Path) -> None:
    def stop(done: int, *_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(server.address, tmp_path, stop)
    assert names(tmp_path) == ["file.bin.part/content"]
    kept = part(tmp_path).stat().st_size
    assert 0 < kept < SIZE
    assert fetch(server.address, tmp_path).read_bytes() == CONTENT
    assert server.seen == ["", f"bytes={kept}-"]


@pytest.mark.parametrize("second", ["whole", "shifted", "status 416"])
def test_a_server_without_ranges_sends_all_of_it_again(server: Site, tmp_path: Path, second: str) -> None:
    server.plan = ["cut 100000", second]
    assert fetch(server.address, tmp_path).read_bytes() == CONTENT


def test_a_finished_part_needs_no_server(tmp_path: Path) -> None:
    part(tmp_path).write_bytes(CONTENT)
    assert fetch(closed_port(), tmp_path).read_bytes() == CONTENT


def test_a_part_that_is_too_long_is_dropped(server: Site, tmp_path: Path) -> None:
    part(tmp_path).write_bytes(bytes(SIZE + 1))
    assert fetch(server.address, tmp_path).read_bytes() == CONTENT
    assert server.seen == [""]


def test_another_checksum_leaves_nothing(server: Site, tmp_path: Path) -> None:
    """Neither a file nor a part, so the next run begins anew; an old file stays."""
    (tmp_path / "file.bin").write_bytes(b"old")
    server.plan = ["other"]
    with pytest.raises(BadInput, match=f"is not the expected file: its checksum is not {CHECKSUM}"):
        fetch(server.address, tmp_path)
    assert names(tmp_path) == ["file.bin"]
    assert (tmp_path / "file.bin").read_bytes() == b"old"
    assert fetch(server.address, tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("word", "found", "asked"),
    [
        ("endless", "more found", 1),
        ("longer", "300,004 found", 1),
        ("status 403", "answers 403 Forbidden", 1),
        ("status 404", "answers 404 Not Found", 1),
        ("status 500", "answers 500", download.PATIENCE),
    ],
)
def test_what_is_not_the_file_is_refused(server: Site, tmp_path: Path, word: str, found: str, asked: int) -> None:
    """Too long a file is refused as soon as it is seen; an answer that will not change is asked for once."""
    server.plan = [word] * 9
    with pytest.raises(BadInput, match=found) as problem:
        fetch(server.address, tmp_path)
    assert server.address in str(problem.value)
    assert names(tmp_path) == []
    assert len(server.seen) == asked


def test_a_label_of_compression_changes_nothing(server: Site, tmp_path: Path) -> None:
    server.plan = ["labelled"]
    assert fetch(server.address, tmp_path).read_bytes() == CONTENT


def closed_port() -> str:
    """An address where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}/file.bin"


def test_nobody_answers(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="Connection refused; 0 of 300,000 bytes are here"):
        fetch(closed_port(), tmp_path)
    assert names(tmp_path) == []


def test_one_process_at_a_time(server: Site, tmp_path: Path) -> None:
    with part(tmp_path).open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_SH)
        with pytest.raises(BadInput, match="Another process is fetching"):
            fetch(server.address, tmp_path)
    assert server.seen == []


def test_a_place_that_cannot_be_written(server: Site, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BadInput, match=r"cannot be written into.*(Not a directory|File exists)"):
        fetch(server.address, tmp_path / "file")


def test_without_pooch_a_sentence_says_what_brings_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(BackendUnavailable, match=r"pip install 'q8emu\[workflow\]'"):
        fetch("http://127.0.0.1:1/", tmp_path)
