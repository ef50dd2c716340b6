# SPDX-License-Identifier: Apache-2.0
"""What tests share: the seed, the ISAs of this CPU, real data where it is present, packages that may be absent.

Options and environment variables:

    --seed N             seed of `rng`, by default 0; -1 takes another one each time, printed in the header
    Q8EMU_ISA            forces the kernels of the whole run
    Q8EMU_DATA           folder with real data: cifar10/ and mlperf_tiny/; tests that need it skip without it
    Q8EMU_QEMU           a qemu-x86_64; a test that emulates another processor skips without it
    Q8EMU_ALL_EXTRAS=1   a test that needs the package of an extra fails, rather than skips, when it is absent
"""

from __future__ import annotations

import importlib
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import hypothesis
import numpy as np
import pytest

from q8emu import _core

ROOT = Path(__file__).parent.parent
ISAS = _core.isas()

# Whose kernels an ISA may run, best first; AVX-512 VNNI comes without AVX-VNNI on servers.
INCLUDED = {
    "avx512vnni": ("avx512vnni", "avx2", "reference"),
    "avxvnni": ("avxvnni", "avx2", "reference"),
    "avx2": ("avx2", "reference"),
    "dotprod": ("dotprod", "reference"),
    "reference": ("reference",),
}

# A slow machine is not a failure, and a failure comes with what repeats it.
# The normal run repeats itself; the long one, with Q8EMU_FUZZ_EXAMPLES, looks at other examples each time.
REPEATS = "Q8EMU_FUZZ_EXAMPLES" not in os.environ
hypothesis.settings.register_profile("q8emu", deadline=None, print_blob=not REPEATS, derandomize=REPEATS)
hypothesis.settings.load_profile("q8emu")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, default=0, help="seed of the random data; -1 takes another one each time")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--seed") < 0:
        config.option.seed = int.from_bytes(os.urandom(4), "little")


def pytest_report_header(config: pytest.Config) -> str:
    data = os.environ.get("Q8EMU_DATA") or "none, tests on real data skip (Q8EMU_DATA=DIR)"
    return f"q8emu: ISA {_core.active_isa()} of {', '.join(ISAS)}; seed {config.getoption('--seed')}; data {data}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if terminalreporter.stats.get("failed"):
        forced = f"Q8EMU_ISA={os.environ['Q8EMU_ISA']} " if os.environ.get("Q8EMU_ISA") else ""
        terminalreporter.write_line(f"rerun: {forced}pytest --seed {config.getoption('--seed')} TEST")


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """The seed of this run; another number for each test, so that tests do not share their draws."""
    base: int = request.config.getoption("--seed")
    return (base + zlib.crc32(request.node.nodeid.encode())) % 2**32


@pytest.fixture
def rng(seed: int) -> np.random.Generator:
    """A generator for this test, from the seed."""
    return np.random.default_rng(seed)


@pytest.fixture(params=ISAS)
def isa(request: pytest.FixtureRequest) -> str:
    """Every ISA that this build has and this CPU supports, "reference" among them."""
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def root() -> Path:
    """The folder of the project."""
    return ROOT


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder with real data; skips where there is none."""
    named = os.environ.get("Q8EMU_DATA")
    if not named:
        pytest.skip("needs real data: set Q8EMU_DATA to a folder with cifar10/")
    assert Path(named).is_dir(), f"Q8EMU_DATA names '{named}', which is not a folder"
    return Path(named)


@pytest.fixture(scope="session")
def cifar10_dir(data_dir: Path) -> Path:
    """The folder with the official CIFAR-10 .bin files; skips where they are absent."""
    folder = data_dir / "cifar10" / "cifar-10-batches-bin"
    if not (folder / "test_batch.bin").is_file():
        pytest.skip("needs CIFAR-10: Q8EMU_DATA has no cifar10/cifar-10-batches-bin/test_batch.bin")
    return folder


@pytest.fixture(scope="session")
def cifar10_test(cifar10_dir: Path) -> tuple[np.ndarray, np.ndarray]:
    """The 10,000 test images uint8[N, 3, 32, 32] and their labels uint8[N]."""
    from q8emu.datasets import cifar10

    return cifar10.test_images(cifar10_dir)


@pytest.fixture(scope="session")
def package() -> Callable[..., ModuleType]:
    """A function that imports a package and skips where it is absent, naming what brings it."""

    def import_or_skip(name: str, extra: str = "", command: str = "") -> ModuleType:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as problem:
            brings = command or f"pip install '.[{extra}]'"
            sentence = f"needs the package {problem.name}: {brings}"
            if os.environ.get("Q8EMU_ALL_EXTRAS") == "1":
                pytest.fail(f"{sentence}; Q8EMU_ALL_EXTRAS=1 says that every extra is installed")
            pytest.skip(sentence)

    return import_or_skip
