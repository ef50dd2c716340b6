# SPDX-License-Identifier: Apache-2.0
"""The tasks of the project: `nox -l` lists them, `nox` runs tests and lint, `nox -s NAME` one of them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2025.2"
nox.options.sessions = ["tests", "lint"]

CPP = [str(p) for folder in ("cpp", "tests/cpp") for p in sorted(Path(folder).rglob("*")) if p.suffix in (".cpp", ".h")]


@nox.session
def tests(session: nox.Session) -> None:
    """The whole suite; arguments after -- go to pytest."""
    session.install(".[test,workflow]")
    session.run("pytest", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Linters, formats, spelling, generated tables, types, the stub of the extension."""
    session.install(".[test,dev,workflow]")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("clang-format", "--dry-run", "-Werror", *CPP, silent=True)
    session.run("codespell")
    session.run("python", "docs/generate.py", "--check")
    _types(session)


@nox.session
def mypy(session: nox.Session) -> None:
    """The types alone, in strict mode, and the stub of the extension against the extension."""
    session.install(".[test,dev,workflow]")
    _types(session)


def _types(session: nox.Session) -> None:
    session.run("mypy")
    options = ["--mypy-config-file", "pyproject.toml", "--allowlist", ".ci/stubtest-allowlist"]
    session.run("python", "-m", "mypy.stubtest", "q8emu._core", *options)


@nox.session
def docs(session: nox.Session) -> None:
    """Rewrite the generated tables, then run everything that the documents show."""
    session.install(".[test,workflow]")
    session.run("python", "docs/generate.py", "--write")
    session.run("pytest", "tests/test_docs.py", *session.posargs)


@nox.session
def sanitize(session: nox.Session) -> None:
    """The core, without Python, under the address and undefined behaviour sanitizers."""
    session.install("cmake>=3.24", "ninja>=1.11")
    _ctest(session, "asan-ubsan")


def _ctest(session: nox.Session, preset: str) -> set[str]:
    """Build a preset and run its tests; the digests of reference results that they print."""
    session.run("cmake", "--preset", preset)
    session.run("cmake", "--build", "--preset", preset)
    session.run("ctest", "--preset", preset)
    log = Path("build", preset, "Testing", "Temporary", "LastTest.log").read_text(encoding="utf-8")
    return {line for line in log.splitlines() if line.startswith("reference results of ")}


@nox.session(default=False)
def aarch64(session: nox.Session) -> None:
    """The kernels for aarch64 under qemu-aarch64, and reference kernels that give the same bits as on this machine."""
    _needs_qemu(session)
    session.install("cmake>=3.24", "ninja>=1.11")
    here, there = (_ctest(session, preset) for preset in ("asan-ubsan", "aarch64"))
    if differ := sorted(there - here):
        session.error("on aarch64 and here the digests differ:\n" + "\n".join(differ))
    session.log(f"{len(there)} digests of reference results are the same on aarch64 and here")


@nox.session(default=False)
def aarch64_python(session: nox.Session) -> None:
    """The tests of kernels, executor and numerics in a Python for aarch64; arguments after -- go to pytest."""
    _needs_qemu(session)
    session.install("cmake>=3.24", "ninja>=1.11", "pybind11>=3")
    session.run("bash", ".ci/aarch64_python", *session.posargs, external=True)


def _needs_qemu(session: nox.Session) -> None:
    for command, package in (("aarch64-linux-gnu-g++", "g++-aarch64-linux-gnu"), ("qemu-aarch64", "qemu-user")):
        if shutil.which(command) is None:
            session.error(f"needs {command}; on Debian: apt-get install {package}")


@nox.session(default=False)
def emulate(session: nox.Session) -> None:
    """The tests of exactness with the kernels for VNNI on a CPU without it. Needs SIMDe (Debian: libsimde-dev)."""
    session.install("cmake>=3.24", "ninja>=1.11")
    session.run("cmake", "--preset", "emulate")
    session.run("cmake", "--build", "--preset", "emulate")
    session.run("ctest", "--preset", "emulate")
    option, folder = "cmake.define.Q8EMU_EMULATE_VNNI=ON", "build-dir=build/emulate-python"
    session.install(".[test,workflow]", "-C", option, "-C", folder)
    exact = ("kernels", "kernel_shapes", "executor", "numerics", "numerics_fixed", "numerics_staged", "fuzz", "meta")
    files = [f"tests/test_{name}.py" for name in exact]
    code = "from q8emu import build_info; print(*build_info()['isas_emulated'])"
    for name in str(session.run("python", "-c", code, silent=True)).split():
        session.log(f"Q8EMU_ISA={name}, emulated")
        environment = {"Q8EMU_ISA": name, "Q8EMU_BUILD": "build/emulate-python"}
        session.run("pytest", *files, *session.posargs, env=environment)


@nox.session(default=False)
def fuzz(session: nox.Session) -> None:
    """A hundred thousand random graphs: spec = reference = SIMD = ONNX Runtime. Takes hours."""
    session.install(".[test,workflow]")
    examples = os.environ.get("Q8EMU_FUZZ_EXAMPLES", "100000")
    session.run("pytest", "tests/test_fuzz.py", "-s", *session.posargs, env={"Q8EMU_FUZZ_EXAMPLES": examples})


@nox.session(default=False)
def mutate(session: nox.Session) -> None:
    """Ten thousand damaged model files through `q8emu verify`."""
    session.install(".[test,workflow]")
    files = os.environ.get("Q8EMU_MUTATIONS", "10000")
    session.run("pytest", "tests/test_mutations.py", "-s", *session.posargs, env={"Q8EMU_MUTATIONS": files})


@nox.session(default=False)
def guest(session: nox.Session) -> None:
    """The rows of torch-fbgemm on an emulated CPU with VNNI. Needs what tests/guest_machine.py says; takes hours."""
    session.install(".[test,torch,workflow]")
    machines = str(Path("build", "guest").absolute())
    table = ("python", "tests/conformance_table.py", "--only", "torch-fbgemm", "--guests", machines)
    session.run("python", "tests/guest_machine.py", "build", machines)
    session.run("python", "tests/guest_machine.py", "run", machines, "--", *table, *session.posargs)


@nox.session(default=False)
def conformance(session: nox.Session) -> None:
    """The conformance table in full: 10^7 requantizations, 10^5 random operators per row. Takes hours."""
    session.install(".[test,litert,workflow]")
    session.run("python", "tests/conformance_table.py", "--full", *session.posargs)


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """The benchmark table: fails where a bar that counts on this CPU is missed. Rows on real data need Q8EMU_DATA."""
    session.install(".[test,litert]")
    session.run("python", "tests/bench_table.py", *session.posargs)


@nox.session(default=False)
def conformance_resnet8(session: nox.Session) -> None:
    """The eight ResNet8 models on CIFAR-10, 10,000 images against `ort`, 1,000 against all. Needs Q8EMU_DATA."""
    data = os.environ.get("Q8EMU_DATA") or session.error("needs Q8EMU_DATA=DIR, a folder with cifar10/")
    session.install(".[test,workflow]")
    images = os.environ.get("Q8EMU_IMAGES", "10000")
    session.run("pytest", "tests/test_resnet8.py", "-s", *session.posargs, env={"Q8EMU_IMAGES": images})
    for model in sorted(Path("golden/models").glob("*.onnx")):
        session.run("q8emu", "verify", str(model), "--cifar10", "1000", "--data", str(Path(data, "cifar10")))


@nox.session(default=False)
def isa(session: nox.Session) -> None:
    """The whole suite once for every ISA that this CPU supports."""
    session.install(".[test,workflow]")
    listed = session.run("python", "-c", "from q8emu import _core; print(*_core.isas())", silent=True)
    for name in str(listed).split():
        session.log(f"Q8EMU_ISA={name}")
        session.run("pytest", *session.posargs, env={"Q8EMU_ISA": name})
