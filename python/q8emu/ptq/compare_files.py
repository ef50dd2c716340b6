# SPDX-License-Identifier: Apache-2.0
"""What is around a comparison of models: files become entries, and the comparison becomes files."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from q8emu.data_folder import VARIABLE
from q8emu.datasets import cifar10
from q8emu.emulator import model_format
from q8emu.errors import BadInput
from q8emu.fingerprint import model_sha256
from q8emu.ptq.classifier import Progress, backends_for, open_classifier
from q8emu.ptq.compare_html import html
from q8emu.ptq.compare_markdown import markdown
from q8emu.ptq.compare_models import Comparison, Entry, entry_of
from q8emu.ptq.evaluate import SCHEMA, evaluate
from q8emu.ptq.exactness import Exactness, check
from q8emu.ptq.images import choose
from q8emu.ptq.model_file import FLOAT

LARGEST_JSON = 2**26


def entries(
    files: Sequence[Path],
    backends: Sequence[str] = (),
    *,
    data: Path | None = None,
    limit: int | None = None,
    threads: int = 0,
    progress: Progress | None = None,
) -> list[Entry]:
    """Evaluate each model file; read each evaluation.

    Args:
        files: model files, and JSON files that `q8emu evaluate --json` printed.
        backends: what runs the files of its format, instead of the default.
        data: folder of CIFAR-10.
        limit: the first images only.
        threads: 0 is one per core.
        progress: called with done, total and what.

    Raises:
        Q8Error: a file cannot be read or evaluated.
    """
    found = []
    for path in files:
        known = _evaluation(path)
        if known is None:
            found.append(_evaluate(path, _backend(path, backends), data, limit, threads, progress))
        else:
            found.append(entry_of(known, _exact(known, data, threads)))
    return found


def _backend(path: Path, backends: Sequence[str]) -> str | None:
    fitting = [name for name in backends if name in backends_for(model_format(path))]
    return fitting[0] if fitting else None


def _evaluate(
    path: Path, backend: str | None, data: Path | None, limit: int | None, threads: int, progress: Progress | None
) -> Entry:
    classifier = open_classifier(path, backend, threads=threads)
    images = choose(classifier, data=data, limit=limit)
    told = None if progress is None else _named(progress, path.name)
    found = evaluate(classifier, images.arrays, images.labels, told, prepare=images.prepare, source=images.source)
    is_float = found.model.dtype == FLOAT
    exact = Exactness(why_not="float") if is_float else check(classifier, images.arrays)
    return entry_of(found.to_json(), exact)


def _named(progress: Progress, name: str) -> Progress:
    return lambda done, total, what: progress(done, total, f"{what} {name}")


def _exact(known: Mapping[str, Any], data: Path | None, threads: int) -> Exactness:
    """Checked on the file that was evaluated, if it is still where it was."""
    try:
        model, settings = known["model"], known["settings"]
        if model["dtype"] == FLOAT:
            return Exactness(why_not="float")
        path = Path(model["path"])
        if not path.is_file() or model_sha256(path) != model["sha256"]:
            return Exactness(why_not="not checked, the file is elsewhere")
        classifier = open_classifier(path, settings["backend"], settings.get("numerics"), threads)
    except (KeyError, TypeError) as problem:
        raise BadInput(f"The evaluation is damaged, at {problem}; make it again: q8emu evaluate --json.") from None
    return check(classifier, cifar10.test_images(data)[0])


def _evaluation(path: Path) -> Mapping[str, Any] | None:
    """What an evaluation's file says, None for a model file."""
    if not path.is_file():
        raise BadInput(f"There is no file '{path}'; expected a model, or the JSON of q8emu evaluate.")
    if path.suffix != ".json":
        return None
    if path.stat().st_size > LARGEST_JSON:
        raise BadInput(f"'{path}' has more than {LARGEST_JSON:,} bytes; expected the JSON of q8emu evaluate.")
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as problem:
        raise BadInput(f"'{path}' is no JSON ({problem}); expected what q8emu evaluate --json printed.") from problem
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        raise BadInput(f"'{path}' is not of the schema {SCHEMA}; expected what q8emu evaluate --json printed.")
    return found


WRITERS: Mapping[str, Callable[[Comparison], str]] = {
    ".html": html,
    ".json": lambda found: json.dumps(found.to_json(), indent=2, ensure_ascii=False, allow_nan=False) + "\n",
    ".md": markdown,
}


def check_outputs(paths: Sequence[Path]) -> None:
    """Refuse what could not be written, before anything is computed.

    Raises:
        BadInput: another suffix, or no such folder.
    """
    for path in paths:
        if path.suffix not in WRITERS:
            raise BadInput(f"--output {path}: expected a name that ends in {', '.join(WRITERS)}.")
        if path.is_dir() or not path.absolute().parent.is_dir():
            raise BadInput(f"--output {path}: expected a file name in an existing folder.")


def write(found: Comparison, paths: Sequence[Path]) -> None:
    """Write each file in the form that its suffix names."""
    texts = [(path, WRITERS[path.suffix](found)) for path in paths]
    for path, text in texts:
        path.write_text(text, encoding="utf-8", newline="\n")


def shown_command(files: Sequence[Path], options: Mapping[str, Sequence[object]]) -> str:
    """The command as one line; a path in the data folder is shown by the variable that names that."""
    words = [_shown(path) for path in files]
    words += [f"{option} {shlex.quote(str(value))}" for option, values in options.items() for value in values]
    return " ".join(["q8emu compare-models", *words])


def _shown(path: Path) -> str:
    folder = os.environ.get(VARIABLE)
    if folder and path.absolute().is_relative_to(Path(folder).absolute()):
        return f'"${VARIABLE}"/{shlex.quote(path.absolute().relative_to(Path(folder).absolute()).as_posix())}'
    return shlex.quote(str(path))
