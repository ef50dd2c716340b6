# SPDX-License-Identifier: Apache-2.0
"""What the project promises about itself: floors of the house, complete lists, the forced ISA, one version."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module, metadata
from pathlib import Path

import pytest

import q8emu
from conftest import INCLUDED
from q8emu import _core, fingerprint
from q8emu.ops import OPS
from q8emu.steps import SPECS

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "python" / "q8emu"
KERNELS = ROOT / "cpp" / "kernels"
ISA_ORDER = ("avx512vnni", "avxvnni", "avx2", "dotprod", "reference")

# Each unit of the package imports units of lower floors only; those of one floor do not know each other.
FLOORS = (
    {"errors", "_core"},
    {"data_folder", "download", "files", "graph", "numerics", "unpickle"},
    {"delegate", "program", "tables", "trace"},
    {"datasets", "hosting", "models", "result", "samples", "steps"},
    {"cores", "lowering"},
    {"backends", "compare", "inputs", "ops", "readers", "run"},
    {"canonical", "export", "lower", "profile", "report"},
    {"emulator", "listing", "report_text"},
    {"fingerprint", "inspect"},
    {"verify"},
    {"ptq"},
    {"api", "bench", "convert", "diff", "draw"},
    {"cli"},
    {"__main__"},
)


def unit(path: Path) -> str:
    """The unit of the package that a file belongs to: its folder, or its own name."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".pyi").removesuffix(".py")


def imported(tree: ast.AST) -> Iterator[str]:
    """Units of the package that code imports when it runs; imports for types only are left out."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.ImportFrom) and node.module == "q8emu":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("q8emu."):
            yield str(node.module).split(".")[1]
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith("q8emu."))
        yield from imported(node)


def sources(*suffixes: str) -> list[Path]:
    """The project's own source files."""
    folders = ("cpp", "docs", "golden", "python", "tests")
    found = [p for folder in folders for p in (ROOT / folder).rglob("*") if p.suffix in suffixes]
    return sorted(p for p in [*found, ROOT / "noxfile.py"] if p.suffix in suffixes)


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A new interpreter."""
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | environment, check=False
    )


# The house


def test_every_unit_has_a_floor_and_every_floor_is_real() -> None:
    units = {unit(p) for p in PACKAGE.rglob("*.py*") if p.suffix in (".py", ".pyi")} - {"__init__"}
    assert units == set().union(*FLOORS)


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_down(path: Path) -> None:
    own = unit(path)
    if own == "__init__":
        return
    floor = next(i for i, units in enumerate(FLOORS) if own in units)
    below = {own}.union(*FLOORS[:floor])
    wrong = set(imported(ast.parse(path.read_text()))) - below
    assert not wrong, f"{own} is on floor {floor} and imports {sorted(wrong)}, which is not below"


@pytest.mark.parametrize("path", sources(".py", ".pyi", ".cpp", ".h", ".inc"), ids=lambda p: str(p.relative_to(ROOT)))
def test_source_files_are_short_and_carry_the_licence(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert len(lines) <= 450
    assert any("SPDX-License-Identifier: Apache-2.0" in line for line in lines[:2])


def test_public_names() -> None:
    assert dir(q8emu) == sorted(q8emu.__all__)
    for name in q8emu.__all__:
        assert getattr(q8emu, name) is not None
    import_module("q8emu.verify")
    import_module("q8emu.diff")
    assert callable(q8emu.verify)
    assert callable(q8emu.run)
    assert callable(q8emu.inspect)
    assert callable(q8emu.diff)
    import_module("q8emu.draw")
    assert callable(q8emu.draw)


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import q8emu", ("numpy", "onnx", "onnxruntime", "typer")),
        ("import q8emu.cli", ("numpy", "onnx", "onnxruntime")),
        ("from q8emu.cli import exit_code; exit_code(['--help'])", ("onnx", "onnxruntime")),
    ],
)
def test_imports_are_lazy(code: str, absent: tuple[str, ...]) -> None:
    done = run_python(f"import sys; {code}; sys.exit(','.join(m for m in {absent!r} if m in sys.modules) or None)")
    assert done.returncode == 0, f"{code} imports {done.stderr}"


def test_the_wheel_is_complete() -> None:
    installed = {str(f) for f in metadata.files("q8emu") or ()}
    if "q8emu/__init__.py" not in installed:
        pytest.skip("needs an installed package: this one is an editable or a plain checkout")
    wanted = [p for p in PACKAGE.rglob("*") if p.suffix in (".py", ".pyi", ".typed", ".onnx", ".npz")]
    assert {f"q8emu/{p.relative_to(PACKAGE).as_posix()}" for p in wanted} <= installed


def test_the_version_has_one_source() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert q8emu.__version__ == metadata.version("q8emu") == _core.build_info()["version"] == version
    assert [str(p) for p in sources(".py", ".pyi", ".cpp", ".h", ".inc") if f'"{version}"' in p.read_text()] == []
    assert version not in (ROOT / "CMakeLists.txt").read_text()
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text()


# Lists


def test_operators_are_listed() -> None:
    assert list(OPS) == sorted(OPS)
    files = {p.stem for p in (PACKAGE / "ops").glob("*.py") if re.search(r"^def lower\(", p.read_text(), re.MULTILINE)}
    assert {module.__name__.rsplit(".", 1)[1] for module in OPS.values()} == files
    for op, module in OPS.items():
        assert callable(module.lower), op
        assert module.__doc__, op


def test_step_kinds_are_the_same_everywhere() -> None:
    page = (ROOT / "docs" / "steps.md").read_text()
    documented = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    listed = re.findall(r"^Q8_STEP\((\w+)\)", (ROOT / "cpp" / "program" / "steps.inc").read_text(), re.MULTILINE)
    assert list(SPECS) == sorted(SPECS)
    assert listed == list(SPECS)
    assert sorted(documented) == sorted([*SPECS, "host"])
    assert all((ROOT / "cpp" / "program" / "steps" / f"{kind}.cpp").is_file() for kind in listed)


def listed_kernels(text: str) -> list[tuple[str, str]]:
    """Symbol and ISA of every line of a kernels.inc."""
    return re.findall(r"^Q8_KERNEL\((\w+), Isa::(\w+)\)", text, re.MULTILINE)


def test_kernel_lists_are_the_files() -> None:
    families = re.findall(r"^Q8_FAMILY\((\w+)\)", (KERNELS / "families.inc").read_text(), re.MULTILINE)
    assert families == sorted(families)
    assert families == sorted(p.parent.name for p in KERNELS.glob("*/kernels.inc"))
    for family in families:
        lines = re.findall(
            r"^Q8_KERNEL\((\w+), Isa::(\w+)\)", (KERNELS / family / "kernels.inc").read_text(), re.MULTILINE
        )
        isas = [isa for _, isa in lines]
        assert isas == [isa for isa in ISA_ORDER if isa in isas], f"{family}: best first, reference last"
        assert isas[-1] == "reference"
        assert [symbol for symbol, _ in lines] == [f"{family}_{isa}" for isa in isas]
        assert {p.stem for p in (KERNELS / family).glob("*.cpp")} == set(isas)
        assert (KERNELS / family / f"{family}.h").is_file()


def test_the_core_has_the_listed_kernels() -> None:
    info = _core.build_info()
    text = "\n".join(p.read_text() for p in sorted(KERNELS.glob("*/kernels.inc")))
    assert set(info["kernels"]) == {symbol for symbol, isa in listed_kernels(text) if isa in info["isas_compiled"]}


def test_the_stub_names_what_the_core_has() -> None:
    tree = ast.parse((PACKAGE / "_core.pyi").read_text())
    stubbed = {n.name: n for n in tree.body if isinstance(n, ast.ClassDef | ast.FunctionDef)}
    only_types = {name for name, n in stubbed.items() if isinstance(n, ast.ClassDef) and "TypedDict" in ast.unparse(n)}
    assert set(stubbed) - only_types == {name for name in dir(_core) if not name.startswith("_")}
    methods = {n.name for n in stubbed["Executor"].body if isinstance(n, ast.FunctionDef)} - {"__init__"}
    assert methods == {name for name in dir(_core.Executor) if not name.startswith("_")}


# ISA

FORCED = """
import json, numpy as np
from q8emu import _core
scale = np.float32([0.5]).view(np.uint32)
q8 = _core.Executor([("int8", (1, 4)), ("int8", (4, 4)), ("int32", (1, 4))], {1: np.eye(4, dtype=np.int8)},
    [{"kind": "matmul", "inputs": (0, 1), "outputs": (2,), "arrays": {"b_zero_point": np.zeros(1, np.int32)},
      "params": {"a_zero_point": 0, "has_a_zero_point_input": 0, "has_b_zero_point_input": 0}}],
    isa=_core.active_isa(), threads=1, keep=[2], keep_accumulators=[], memory_limit=1 << 20)
print(json.dumps([_core.active_isa(), q8.kernels()]))
"""


def test_a_forced_isa_is_the_one_that_runs(isa: str) -> None:
    done = run_python(FORCED, Q8EMU_ISA=isa)
    assert done.returncode == 0, done.stderr
    active, (kernels,) = json.loads(done.stdout)
    assert active == isa
    assert f"matmul_{isa}" in kernels


def test_a_family_runs_the_best_kernel_that_the_isa_includes(isa: str) -> None:
    listed = {symbol for p in KERNELS.glob("*/kernels.inc") for symbol, _ in listed_kernels(p.read_text())}
    running = {symbol for names in q8emu.load(kernels=isa).runner.kernels for symbol in names.split(" + ")} & listed
    assert len(running) > 5
    for symbol in running:
        family, _ = symbol.rsplit("_", 1)
        assert symbol == next(f"{family}_{name}" for name in INCLUDED[isa] if f"{family}_{name}" in listed)


def test_an_emulated_isa_runs_only_where_it_is_named() -> None:
    done = run_python("import os; os.environ.pop('Q8EMU_ISA', 0); from q8emu import _core; print(_core.active_isa())")
    info = _core.build_info()
    assert done.stdout.strip() == next(isa for isa in info["isas_supported"] if isa not in info["isas_emulated"])
    assert set(info["isas_emulated"]) <= set(info["isas_compiled"]) - {"avx2", "reference"}
    assert ("isas_emulated" in fingerprint.build()) == bool(info["isas_emulated"])


def test_an_unknown_isa_is_an_error_that_lists_the_known() -> None:
    done = run_python("from q8emu import _core; _core.active_isa()", Q8EMU_ISA="sse9")
    assert done.returncode != 0
    assert "'sse9'" in done.stderr
    assert ", ".join(_core.isas()) in done.stderr
    command = run_python("from q8emu.cli import main; main(['verify'])", Q8EMU_ISA="sse9")
    assert command.returncode == 2
    assert "'sse9'" in command.stderr
    assert "Traceback" not in command.stderr


def isa_objects() -> list[Path]:
    """The object files of kernels for one ISA in the build folders of this checkout, sanitizer builds apart."""
    named = os.environ.get("Q8EMU_BUILD")
    folders = [Path(named)] if named else sorted(p.parent for p in (ROOT / "build").glob("*/CMakeCache.txt"))
    plain = [f for f in folders if "-fsanitize" not in (f / "CMakeCache.txt").read_text()] if folders else []
    return [p for f in plain for isa in ISA_ORDER[:-1] for p in sorted(f.rglob(f"kernels/*/{isa}.cpp.o"))]


def test_isa_files_share_no_code_with_the_baseline() -> None:
    objects, nm = isa_objects(), shutil.which("nm")
    if nm is None:
        pytest.skip("needs nm (binutils) to list the symbols of object files")
    if not objects:
        pytest.skip("needs a build folder with the ISA object files: 'pip install .' on x86-64, or Q8EMU_BUILD=DIR")
    for path in objects:
        symbols = subprocess.run([nm, "-C", str(path)], capture_output=True, text=True, check=True).stdout
        weak = re.findall(r"^\S* +[WVwvu] .*$", symbols, re.MULTILINE)
        assert not weak, f"{path.name} of {path.parent.name} defines symbols that the baseline could pick: {weak}"
