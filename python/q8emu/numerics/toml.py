# SPDX-License-Identifier: Apache-2.0
"""The arithmetic of an own chip, read from a TOML file: the fields of `Numerics`, a base, overrides per operator."""

from __future__ import annotations

import dataclasses
import difflib
import json
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn, get_args, get_origin, get_type_hints

from q8emu.errors import BadInput
from q8emu.numerics.numerics import Numerics, Within

MAX_BYTES = 2**16
MAX_LINE = 1000  # characters; the time that a dotted key takes grows with the square of its length
TEXTS = ("name", "reproduces", "source")
"""Fields that say what a record is; they decide nothing."""
KEYS = ("base", "overrides")

Legal = tuple[str, ...] | Within


def decisions() -> dict[str, Legal]:
    """Every field that decides something, with its legal values."""
    hints = get_type_hints(Numerics, include_extras=True)
    found: dict[str, Legal] = {}
    for field in dataclasses.fields(Numerics):
        hint = hints[field.name]
        if field.name in (*TEXTS, "oracle", "overrides"):
            continue
        found[field.name] = get_args(hint)[1] if get_origin(hint) is Annotated else get_args(hint)
    return found


def describe(legal: Legal) -> str:
    """Legal values in words.

    Example:
        >>> describe(Within(8, 32)), describe(("wrap", "saturate"))
        ('an integer from 8 to 32', 'wrap, saturate')
    """
    return f"an integer from {legal.least} to {legal.greatest}" if isinstance(legal, Within) else ", ".join(legal)


def read_profile(path: Path, bases: Mapping[str, Numerics], operators: Collection[str]) -> Numerics:
    """The record that a TOML file describes. Its oracle is empty: nothing else computes as an own chip does.

    Args:
        path: of the file.
        bases: profiles that `base` may name.
        operators: canonical operators that `[overrides.NAME]` may name.

    Raises:
        BadInput: one sentence that names the file, the field, the value found and the legal ones.
    """
    table = _load(path)
    _check_keys(path, "", table, (*TEXTS, *KEYS, *decisions()))
    fields: dict[str, Any] = {name: _text(path, name, table[name]) for name in TEXTS if name in table}
    if fields.get("name", "own") in bases:
        _refuse(path, "name", fields["name"], "another name than those of the built-in profiles")
    fields |= _values(path, "", table)
    fields = {"name": "own", "reproduces": "an own chip, no runtime", "source": str(path.name)} | fields
    base = _base(path, table, bases, fields)
    record = dataclasses.replace(base, **fields, oracle="", overrides=())
    if table.get("snap") == "nearest" and record.scale != "power_of_two":
        raise BadInput(f"{path}: snap nearest is for scale power_of_two, found scale {record.scale}.")
    overrides = _overrides(path, table.get("overrides", {}), operators, dict(base.overrides))
    for where, made in (("", record), *((f"overrides.{op}: ", _with(record, own)) for op, own in overrides.items())):
        for problem in sorted(set(contradictions(made)) - set(contradictions(base))):
            raise BadInput(f"{path}: {where}{problem}.")
    _check_delegate(path, record, bases, [*overrides])
    return dataclasses.replace(record, overrides=tuple((op, tuple(own.items())) for op, own in overrides.items()))


def _check_delegate(path: Path, record: Numerics, bases: Mapping[str, Numerics], overrides: Sequence[str]) -> None:
    """What a delegate does not take runs under another profile, where the decisions of this file would not count."""
    if record.delegate == "none":
        return
    own = bases[record.delegate]
    other = [name for name in decisions() if getattr(record, name) != getattr(own, name)]
    if other or overrides:
        raise BadInput(
            f"{path}: delegate {record.delegate} goes with the decisions of profile {own.name} alone, found another "
            f"{[*other, *overrides][0]}; expected delegate none."
        )


def contradictions(numerics: Numerics) -> Iterator[str]:
    """Decisions that exclude each other, one sentence each."""
    stages = f"found rounding {numerics.rounding} and first_shift {numerics.first_shift}"
    if numerics.scale in (*FLOAT32, "multiplier_float32") and (
        numerics.rounding != "half_even" or numerics.first_shift
    ):
        yield f"scale {numerics.scale} goes with rounding half_even and first_shift 0, {stages}"
    if numerics.scale == "float64" and (numerics.rounding != "half_away" or numerics.first_shift):
        yield f"scale float64 goes with rounding half_away and first_shift 0, {stages}"
    if numerics.scale == "power_of_two" and (numerics.first_shift or numerics.fraction_bits):
        yield (
            f"scale power_of_two goes with first_shift 0 and fraction_bits 0, found {numerics.first_shift} and "
            f"{numerics.fraction_bits}"
        )
    if numerics.scale == "power_of_two" and numerics.mean == "requantize" and numerics.rescaling == "requantize":
        yield "mean requantize divides a multiplier, which scale power_of_two has not; use requantize_quotient"
    if numerics.scale == "multiplier" and numerics.first_shift >= numerics.multiplier_bits:
        yield (
            f"first_shift goes up to multiplier_bits - 1 = {numerics.multiplier_bits - 1}, found {numerics.first_shift}"
        )
    if numerics.overflow.startswith("pair_saturate") and numerics.accumulator_bits != 32:
        yield f"overflow {numerics.overflow} goes with accumulator_bits 32, found {numerics.accumulator_bits}"
    if numerics.rescaling == "requantize" and numerics.scale in (*FLOAT32, "float64"):
        for name, floats in FLOAT_RULES.items():
            if getattr(numerics, name) not in floats:
                yield (
                    f"{name} {getattr(numerics, name)} rescales integers: it needs scale multiplier or power_of_two, "
                    f"or rescaling double_rounding, found scale {numerics.scale}"
                )


FLOAT32 = ("float32", "float32_reciprocal")

FLOAT_RULES = {
    "add": ("fma", "float", "common_shift", "per_branch", "float_reciprocal", "common_shift_22", "qlinear_22"),
    "mean": ("float_sum", "affine", "pool_only"),
    "multiply": ("ratio", "ratio_fused", "float", "float32", "float_reciprocal", "none"),
    "requantize": ("float", "eight_bits", "float_by_8"),
    "unary": ("float", "half_even", "none"),
}
"""The values of these fields that need no integer factor."""


def _load(path: Path) -> dict[str, Any]:
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise BadInput(f"{path}: cannot be read as a numerics profile: it is no file.")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as problem:
        raise BadInput(f"{path}: cannot be read as a numerics profile: {problem.strerror or problem}.") from problem
    if len(data) > MAX_BYTES:
        raise BadInput(f"{path}: a numerics profile has at most {MAX_BYTES} bytes, and this file more.")
    try:
        text = data.decode("utf-8")
        if max(map(len, text.splitlines()), default=0) > MAX_LINE:
            raise BadInput(
                f"{path}: a line of a numerics profile has at most {MAX_LINE} characters, and one here more."
            )
        return tomllib.loads(text)
    except UnicodeDecodeError as problem:
        raise BadInput(f"{path}: a TOML file is UTF-8; byte {problem.start} is not.") from problem
    except (RecursionError, ValueError) as problem:
        said = " ".join(str(problem).split())[:200] or "it is nested too deeply"
        raise BadInput(f"{path}: this is no TOML: {said}.") from problem


def _check_keys(path: Path, where: str, table: Mapping[str, Any], known: Iterable[str]) -> None:
    known = list(known)
    for key in table:
        if key in known:
            continue
        if key == "oracle":
            raise BadInput(f"{path}: {where}oracle: an own chip has none, because nothing else computes as it does.")
        near = difflib.get_close_matches(key, known, 1)
        hint = f"did you mean {near[0]}?" if near else f"the fields are {', '.join(known)}."
        raise BadInput(f"{path}: {where}{_shown(key)} is no field of a numerics profile; {hint}")


def _values(path: Path, where: str, table: Mapping[str, Any]) -> dict[str, Any]:
    given = {name: legal for name, legal in decisions().items() if name in table}
    return {name: _value(path, where + name, table[name], legal) for name, legal in given.items()}


def _value(path: Path, where: str, found: object, legal: Legal) -> object:
    if isinstance(legal, Within):
        if type(found) is int and legal.least <= found <= legal.greatest:
            return found
    elif isinstance(found, str) and found in legal:
        return found
    return _refuse(path, where, found, describe(legal))


def _text(path: Path, where: str, found: object) -> str:
    if isinstance(found, str) and found.isprintable() and 0 < len(found.strip()) <= 200:
        return found
    return _refuse(path, where, found, "one line of text, 1 to 200 characters")


def _base(path: Path, table: Mapping[str, Any], bases: Mapping[str, Numerics], fields: dict[str, Any]) -> Numerics:
    if "base" in table:
        found = table["base"]
        if not isinstance(found, str) or found not in bases:
            near = difflib.get_close_matches(str(found), bases, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            _refuse(path, "base", found, ", ".join(sorted(bases)) + hint)
        return bases[found]
    missing = [name for name in decisions() if name not in fields]
    if missing:
        raise BadInput(f"{path}: {', '.join(missing)} missing; set every field, or a base to take the others from.")
    return Numerics(**fields, oracle="")


def _overrides(
    path: Path, found: object, operators: Collection[str], inherited: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    if not isinstance(found, dict):
        _refuse(path, "overrides", found, "tables [overrides.OPERATOR]")
    overrides = {op: dict(own) for op, own in inherited.items()}
    for op, table in sorted(found.items()):
        if op not in operators:
            near = difflib.get_close_matches(op, list(operators), 1)
            hint = f"did you mean {near[0]}?" if near else f"the operators are {', '.join(sorted(operators))}."
            raise BadInput(f"{path}: overrides.{_shown(op)} is no operator; {hint}")
        if not isinstance(table, dict):
            _refuse(path, f"overrides.{op}", table, "a table of fields")
        _check_keys(path, f"overrides.{op}.", table, decisions())
        overrides[op] = overrides.get(op, {}) | _values(path, f"overrides.{op}.", table)
    return overrides


def _with(record: Numerics, fields: Mapping[str, Any]) -> Numerics:
    return dataclasses.replace(record, **fields)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _refuse(path: Path, where: str, found: object, legal: str) -> NoReturn:
    raise BadInput(f"{path}: {where} is {_shown(found)}; expected {legal}.")


def to_toml(numerics: Numerics) -> str:
    """Every field as a TOML file that reads back as the same decisions, under a name of its own.

    Example:
        >>> from q8emu.numerics import PROFILES
        >>> to_toml(PROFILES["ort"]).splitlines()[0]
        'name = "my-ort"'
    """
    name = numerics.name if not numerics.oracle and numerics.name == "own" else f"my-{numerics.name}"
    texts = {"name": name, "reproduces": numerics.reproduces, "source": numerics.source}
    lines = [f"{key} = {_literal(value[:200])}" for key, value in texts.items()]
    lines += [f"{key} = {_literal(getattr(numerics, key))}" for key in decisions()]
    for op, own in numerics.overrides:
        lines += ["", f"[overrides.{op}]", *(f"{key} = {_literal(value)}" for key, value in own)]
    return "\n".join(lines) + "\n"


def _literal(value: str | int) -> str:
    return json.dumps(value, ensure_ascii=False)
