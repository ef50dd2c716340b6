# SPDX-License-Identifier: Apache-2.0
"""The documents are true: Python and commands run, tables are those of the code, links lead somewhere."""

from __future__ import annotations

import ast
import doctest
import re
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer

import q8emu
from q8emu.cli import app

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHOWN = ROOT / "README.md"


def page_id(path: Path) -> str:
    return str(path.relative_to(ROOT))


def blocks(page: Path, language: str) -> list[tuple[int, str]]:
    """Line number of the first line, and text, of every fenced block in a language."""
    text = page.read_text(encoding="utf-8")
    found = [m for m in BLOCK.finditer(text) if m.group(1) == language]
    return [(text.count("\n", 0, m.start(2)) + 1, m.group(2)) for m in found]


def modules_with_examples() -> list[str]:
    package = ROOT / "python"
    files = [p for p in sorted((package / "q8emu").rglob("*.py")) if ">>>" in p.read_text(encoding="utf-8")]
    return [".".join(p.relative_to(package).with_suffix("").parts).removesuffix(".__init__") for p in files]


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "python")], ids=page_id)
def test_python_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {"__name__": "document"}
    for line, code in blocks(page, "python"):
        exec(compile("\n" * (line - 1) + code, str(page), "exec"), namespace)  # line numbers are those of the page


def commands() -> list[tuple[str, str]]:
    return [
        (page_id(page), line)
        for page in PAGES
        for _, block in blocks(page, "sh")
        for line in block.splitlines()
        if line.startswith("q8emu ")
    ]


@pytest.mark.parametrize(("page", "command"), commands())
def test_commands_run(page: str, command: str, tmp_path: Path) -> None:
    code = "from q8emu.cli import main; main()"
    arguments = shlex.split(command, comments=True)[1:]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{page}: {command}\n{done.stdout}\n{done.stderr}"


def test_the_set_up_is_two_commands() -> None:
    _, first = blocks(SHOWN, "sh")[0]
    assert first.splitlines() == ["pip install . && q8emu verify", "pip install '.[test]' && pytest"]


def test_the_shown_report_is_the_one_that_verify_makes() -> None:
    ((_, text),) = blocks(SHOWN, "text")
    report = q8emu.verify(against=["ort"])
    for row, results in report.rows():
        line = next(line for line in text.splitlines() if line.startswith(f"{row.name} "))
        shape = "×".join(report.shape(row))
        found = results["ort"]
        assert line.split()[1:6] == [row.operator, row.dtype, shape, f"{found.elements:,}", str(found.differing)]
    assert f"  ort: {report.oracles[0].verdict}. {report.oracles[0].sentence}"[:60] in text
    assert text.splitlines()[-1] == "verdict: holds (decided by ort)"


def test_named_commands_and_options_exist() -> None:
    group: Any = typer.main.get_command(app)
    for page in PAGES:
        for shown in re.findall(r"`q8emu ([^`]+)`", page.read_text(encoding="utf-8")):
            command, rest = group, shown.split()
            while rest and not rest[0].startswith("-") and hasattr(command, "commands"):
                assert rest[0] in command.commands, f"{page_id(page)}: q8emu {shown}"
                command = command.commands[rest.pop(0)]
            if not shown.startswith("-"):
                known = {o for p in command.params for o in p.opts}
                assert {o for o in rest if o.startswith("-")} <= known, f"{page_id(page)}: q8emu {shown}"


def test_named_sessions_exist() -> None:
    tree = ast.parse((ROOT / "noxfile.py").read_text(encoding="utf-8"))
    sessions = {n.name for n in tree.body if isinstance(n, ast.FunctionDef) and n.decorator_list}
    page = (ROOT / "docs" / "hacking.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`nox -s (\w+)`", page)) == sessions


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples_in_docstrings_hold(name: str) -> None:
    results = doctest.testmod(import_module(name))
    assert results.attempted > 0
    assert results.failed == 0


def test_generated_tables_are_those_of_the_code() -> None:
    script = ROOT / "docs" / "generate.py"
    done = subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def anchors(page: Path) -> set[str]:
    """The anchors that a page's headings get."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), f"{page_id(page)}: {target}"
        assert not anchor or anchor in anchors(linked), f"{page_id(page)}: {target}"


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    docs = ROOT / "docs"
    missing = [p for p in docs.rglob("*.md") if p.name != "index.md" and f"({p.relative_to(docs)})" not in index]
    assert not missing
