# SPDX-License-Identifier: Apache-2.0
"""Text for Graphviz, and the program `dot` that makes pictures of it; names from model files are cut and escaped."""

from __future__ import annotations

import html
import shutil
import subprocess
from pathlib import Path

from q8emu.errors import BadInput, DrawingFailed

FORMATS = (".svg", ".png", ".dot")
SECONDS = 300
"""Longest that Graphviz may take."""

LONGEST_NAME, LONGEST_TIP = 44, 300  # characters


def cut(name: str, longest: int = LONGEST_NAME) -> str:
    r"""A name of a file as one short line: what does not print becomes "?", a long one loses its middle.

    Example:
        >>> cut("conv\n1"), cut("model/batch_normalization/FusedBatchNorm", 20)
        ('conv?1', 'model/batch_n…chNorm')
    """
    name = "".join(c if c.isprintable() else "?" for c in name)
    if len(name) <= longest:
        return name
    tail = (longest - 1) // 3
    return f"{name[: longest - 1 - tail]}…{name[len(name) - tail :]}"


def text(name: str, longest: int = LONGEST_NAME) -> str:
    """A name inside a label.

    Example:
        >>> text('<b>&"')
        '&lt;b&gt;&amp;&quot;'
    """
    return html.escape(cut(name, longest)) or "?"


def quoted(name: str, longest: int = LONGEST_TIP) -> str:
    r"""A name as a quoted attribute; Graphviz reads entities and backslashes there.

    Example:
        >>> print(quoted(r'say "\N"'))
        "say &quot;\\N&quot;"
    """
    return '"' + html.escape(cut(name, longest)).replace("\\", "\\\\") + '"'


def check_output(output: Path) -> None:
    """Refuse a place or a form that cannot be written, before anything is computed.

    Raises:
        BadInput: another ending than those of FORMATS, no folder, or the path is one.
    """
    if output.suffix not in FORMATS:
        raise BadInput(f"The picture is '{output}'; expected a name that ends in {', '.join(FORMATS)}.")
    if output.is_dir() or not output.absolute().parent.is_dir():
        raise BadInput(f"The picture cannot be written to '{output}'; expected a file name in an existing folder.")


def write(source: str, output: Path) -> None:
    """Write a picture, or the text itself for a name that ends in .dot.

    Where Graphviz is missing or fails, the text is kept beside the picture that is not there, as OUTPUT.dot.

    Raises:
        BadInput: the file cannot be written.
        DrawingFailed: there is no picture; the sentence names the text that was written.
    """
    if output.suffix == ".dot":
        _save(output, source.encode())
        return
    try:
        _save(output, _rendered(source, output.suffix[1:]))
    except DrawingFailed as problem:
        kept = output.with_name(f"{output.name}.dot")
        _save(kept, source.encode())
        raise DrawingFailed(f"{problem} The graph is in '{kept}'.") from problem


def _rendered(source: str, form: str) -> bytes:
    program = shutil.which("dot")
    if program is None:
        raise DrawingFailed(
            f"A picture as {form.upper()} takes the program dot of Graphviz, which is not installed: apt-get install "
            "graphviz, brew install graphviz, or https://graphviz.org/download."
        )
    try:
        done = subprocess.run([program, f"-T{form}"], input=source.encode(), capture_output=True, timeout=SECONDS)
    except subprocess.TimeoutExpired as problem:
        raise DrawingFailed(f"Graphviz did not finish this graph in {SECONDS} seconds.") from problem
    except OSError as problem:
        raise DrawingFailed(f"Graphviz does not start ({problem.strerror}).") from problem
    if done.returncode != 0:
        said = " ".join(done.stderr.decode(errors="replace").split())
        raise DrawingFailed(f"Graphviz failed with exit code {done.returncode}: {said[:300]}.")
    return done.stdout


def _save(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as problem:
        raise BadInput(f"The picture cannot be written to '{path}' ({problem.strerror}).") from problem
