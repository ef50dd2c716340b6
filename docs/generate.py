# SPDX-License-Identifier: Apache-2.0
"""Tables of the documents, made from the code: between `<!-- generated: NAME -->` and `<!-- end -->`; and a picture.

python docs/generate.py --check     compares; exit code 1 and the names of the pages that are out of date
python docs/generate.py --write     rewrites them

The picture takes Graphviz. Versions of it lay a graph out a little differently, so what it says is compared, not where;
without Graphviz it is left alone.
"""

from __future__ import annotations

import argparse
import html
import json
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PICTURE = ROOT / "docs" / "resnet8.svg"
MARKED = re.compile(r"(?<=<!-- generated: )([\w-]+)( -->\n).*?(?=<!-- end -->)", re.DOTALL)


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |\n" for line in lines)


def first_line(documented: Any) -> str:
    """The first line of a docstring."""
    return str(documented.__doc__).splitlines()[0]


def operators() -> str:
    """Every canonical operator: how files spell it, what it computes, the steps it becomes."""
    from q8emu.canonical.qdq import QDQ_OPERATORS
    from q8emu.canonical.qoperator import LAYOUTS
    from q8emu.ops import OPS

    spelled: dict[str, list[str]] = {op: [] for op in OPS}
    for op in sorted(QDQ_OPERATORS):
        spelled[op].append(f"QDQ {op}")
    for name, (op, _, _) in LAYOUTS.items():
        spelled[op].append(name.removeprefix("com.microsoft:"))
    spelled["Concat"].append("QLinearConcat")
    spelled["Requantize"].append("DequantizeLinear, QuantizeLinear")
    spelled["Host"].append("any other operator")
    rows = []
    for module in dict.fromkeys(OPS.values()):
        names = [op for op in OPS if OPS[op] is module]
        files = [name for op in names for name in spelled[op] or [op]]
        meaning = first_line(module).partition(": ")[2] or first_line(module)
        formula = f"`{meaning}`" if " = " in meaning else meaning
        rows.append((", ".join(f"`{name}`" for name in names), ", ".join(files), formula, first_line(module.lower)))
    return table(("operator", "in the file", "meaning", "becomes"), rows)


def profiles() -> str:
    """What every numerics profile reproduces, and the oracle that it is held to."""
    from q8emu.numerics import PROFILES

    rows = [
        (f"`{p.name}`", f"`{p.oracle}`" if p.oracle else "none: `spec`", p.reproduces, p.source)
        for p in PROFILES.values()
    ]
    return table(("profile", "oracle", "reproduces", "source"), rows)


def numerics() -> str:
    """Every field of an own chip's file: its legal values and what they mean."""
    from q8emu.numerics import Numerics
    from q8emu.numerics.toml import TEXTS, decisions, describe

    described = dict(re.findall(r"^ {8}(\w+): (.*(?:\n {12}.*)*)", str(Numerics.__doc__), re.MULTILINE))
    rows = [(f"`{name}`", "text, 1 to 200 characters", " ".join(described[name].split())) for name in TEXTS]
    for name, legal in decisions().items():
        rows.append((f"`{name}`", describe(legal), " ".join(described[name].split())))
    return table(("field", "legal values", "what it says"), rows)


def oracles() -> str:
    """Every oracle that `--against` takes."""
    from q8emu.backends import BACKENDS

    return table(("oracle", "what it is"), [(f"`{name}`", oracle.describe) for name, oracle in BACKENDS.items()])


def conformance() -> str:
    """The measured rows of docs/conformance.json, and how each profile was measured."""
    measured = json.loads((ROOT / "docs" / "conformance.json").read_text(encoding="utf-8"))
    what = ("profile", "oracle", "operator", "models", "compared")
    head = (*what, "values", "differing", "not promised", "of these", "refused")
    numbers = ("values", "differing", "excused", "excused_differing", "refused")
    rows = [
        (
            f"`{m['profile']}`",
            f"`{m['oracle']}`",
            m["operator"],
            f"{m['operators']:,}" if "operators" in m else "",
            f"{m['units']:,} {m['unit']}",
            *(f"{m[number]:,}" if m[number] or number == "differing" else "" for number in numbers),
        )
        for m in measured
    ]
    runs = dict.fromkeys(
        (f"`{m['profile']}`", m["version"], m["cpu"], m["date"], f"`{m['command']}`") for m in measured
    )
    how = table(("profile", "oracle's version", "processor", "date", "command"), runs)
    return f"{table(head, rows)}\n{how}"


def quantized() -> str:
    """The measured rows of docs/quantize.json, and how they were measured."""
    measured = json.loads((ROOT / "docs" / "quantize.json").read_text(encoding="utf-8"))
    images, whole = measured["images"], measured["float32"]

    def row(method: str, dtype: str, weights: str, found: Any) -> tuple[str, ...]:
        percent = f"{100 * found['correct'] / images:.2f} %"
        return method, dtype, weights, f"{found['correct']:,}", percent, f"{found['bytes']:,}"

    rows = [row("none", "float32", "float32", whole)]
    for found in measured["rows"]:
        weights = "int8 per channel" if found["per_channel"] else f"{found['dtype']} per tensor"
        rows.append(row(f"`{found['method']}`", found["dtype"], weights, found))
    head = ("method", "activations", "weights", f"right of {images:,}", "percent", "bytes")
    how = f"{measured['samples']}. onnxruntime {measured['onnxruntime']}; `{measured['command']}`."
    return f"{table(head, rows)}\n{how}\n"


def bit_widths() -> str:
    """The measured map of bit widths in docs/quantize_map.json."""
    found = json.loads((ROOT / "docs" / "quantize_map.json").read_text(encoding="utf-8"))
    images, widths = found["images"], sorted({cell["weight_bits"] for cell in found["grid"]})
    right = {(cell["weight_bits"], cell["activation_bits"]): cell["correct"] for cell in found["grid"]}
    shown = [[str(w), *(f"{100 * right[w, a] / images:.1f}" for a in widths)] for w in widths]
    grid = table(("weight bits", *(f"{a}-bit activations" for a in widths)), shown)
    width = f"{found['layer_bits']}-bit"
    layers = [
        (f"`{cell['layer']}`", f"{100 * cell['enabled'] / images:.1f}", f"{100 * cell['disabled'] / images:.1f}")
        for cell in found["layers"]
    ]
    return f"{grid}\n{table(('layer', f'{width} weights in it alone', 'in all but it'), layers)}"


def bench() -> str:
    """The measured rows of docs/bench.json, and where, when and how they were measured."""
    sys.path.insert(0, str(ROOT / "tests"))
    import bench_report

    found = bench_report.read()
    rows = table(bench_report.HEAD, [bench_report.cells(row) for row in found["rows"]])
    return f"{rows}\n{table(('measured on', ''), found['machine'].items())}"


def kernels() -> str:
    """Every kernel family and the ISAs it has kernels for."""
    rows = []
    for path in sorted((ROOT / "cpp" / "kernels").glob("*/kernels.inc")):
        isas = re.findall(r"^Q8_KERNEL\(\w+, Isa::(\w+)\)", path.read_text(), re.MULTILINE)
        rows.append((f"`{path.parent.name}`", ", ".join(f"`{isa}`" for isa in isas)))
    return table(("family", "ISAs, best first"), rows)


def keras_layers() -> str:
    """The layers of Keras that are converted, and the activations."""
    from q8emu.ptq.keras_layers import ACTIVATIONS, LAYERS

    return table(
        ("of Keras", "converted"),
        [
            (kind, ", ".join(f"`{n}`" for n in sorted(names)))
            for kind, names in (("layers", LAYERS), ("activations", ACTIVATIONS))
        ],
    )


def cli_commands() -> Iterator[tuple[str, Any]]:
    """Every command of the command line with its full name."""
    import typer

    from q8emu.cli import app

    group: Any = typer.main.get_command(app)
    for name, command in sorted(group.commands.items()):
        inner = getattr(command, "commands", None) or {"": command}
        yield from ((f"{name} {sub}".strip(), found) for sub, found in sorted(inner.items()))


def commands() -> str:
    """Every command with the first sentence of its help."""
    rows = [(f"`q8emu {name}`", " ".join(c.help.split("\n\n")[0].split())) for name, c in cli_commands()]
    return table(("command", "does"), rows)


def options() -> str:
    """Every command with its options."""
    parts = []
    for name, command in cli_commands():
        rows = [option(param) for param in command.params if param.name != "help"]
        help_text = "\n\n".join(" ".join(part.split()) for part in command.help.split("\n\n"))
        parts.append(f"### q8emu {name}\n\n{help_text}\n\n{table(('argument or option', 'default', 'meaning'), rows)}")
    return "\n".join(parts)


def option(param: Any) -> tuple[str, str, str]:
    """One row for an argument or an option."""
    is_argument = param.param_type_name == "argument"
    spelling = f"[{param.name.upper()}]" if is_argument else ", ".join(param.opts)
    value = "" if is_argument or param.is_flag or not param.metavar else f" {param.metavar}"
    default = "" if param.default is None or param.default is False else f"{param.default}"
    return f"`{spelling}{value}`", default, param.help or ""


TABLES: dict[str, Callable[[], str]] = {
    "bench": bench,
    "bit-widths": bit_widths,
    "commands": commands,
    "conformance": conformance,
    "keras-layers": keras_layers,
    "kernels": kernels,
    "numerics": numerics,
    "operators": operators,
    "options": options,
    "oracles": oracles,
    "profiles": profiles,
    "quantized": quantized,
}


def said(picture: str) -> list[str]:
    """The texts of an SVG, sorted."""
    found = re.findall(r"<text[^>]*>([^<]*)</text>", picture)
    return sorted(html.unescape(line).replace("\xa0", " ").strip() for line in found)


def picture() -> str | None:
    """The packaged model as `q8emu draw` draws it; None without Graphviz."""
    if shutil.which("dot") is None:
        return None
    from q8emu import draw

    with tempfile.TemporaryDirectory() as folder:
        draw(None, Path(folder) / PICTURE.name)
        return (Path(folder) / PICTURE.name).read_text(encoding="utf-8")


def pages() -> list[Path]:
    """Every Markdown page of the project's documents."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def generated(text: str) -> str:
    """A page with its tables made anew."""

    def made(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in TABLES:
            raise SystemExit(f"There is no table '{name}'; known tables: {', '.join(TABLES)}.")
        return f"{name}{match.group(2)}\n{TABLES[name]()}\n"

    return MARKED.sub(made, text)


def main() -> int:
    """Check or write; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="rewrite the pages")
    parser.add_argument("--check", action="store_true", help="compare only (the default)")
    write = parser.parse_args().write
    stale = []
    for page in pages():
        old = page.read_text(encoding="utf-8")
        new = generated(old)
        if new != old:
            stale.append(str(page.relative_to(ROOT)))
            if write:
                page.write_text(new, encoding="utf-8")
    drawn, old = picture(), PICTURE.read_text(encoding="utf-8") if PICTURE.exists() else ""
    if drawn is not None and said(drawn) != said(old):
        stale.append(str(PICTURE.relative_to(ROOT)))
        if write:
            PICTURE.write_text(drawn, encoding="utf-8")
    if stale:
        print(f"{'written' if write else 'out of date, run python docs/generate.py --write'}: {', '.join(stale)}")
    return 1 if stale and not write else 0


if __name__ == "__main__":
    sys.exit(main())
