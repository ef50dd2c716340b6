# SPDX-License-Identifier: Apache-2.0
"""Own chips: the TOML file, its sentences, its identity, the commands that take it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import q8emu
from command_line import Outcome
from conftest import ISAS
from q8emu import models
from q8emu.errors import BadInput
from q8emu.numerics import PROFILES, identity
from q8emu.numerics.numerics import Numerics, Within
from q8emu.numerics.toml import decisions, read_profile, to_toml
from q8emu.ops import OPS

EXAMPLES = sorted((Path(q8emu.__file__).parent / "examples").glob("*.toml"))


def read(tmp_path: Path, text: str | bytes) -> Numerics:
    """The profile in a file with this content."""
    path = tmp_path / "npu.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_profile(path, PROFILES, tuple(OPS))


BAD: dict[str, tuple[str | bytes, str]] = {
    "text for a number": ('base = "ort"\nbias_bits = "16"', r"bias_bits is '16'; expected an integer from 8 to 32\."),
    "out of range": (
        'base = "ort"\naccumulator_bits = 40',
        r"accumulator_bits is 40; expected an integer from 16 to 32",
    ),
    "a truth for a number": ('base = "ort"\nfirst_shift = true', r"first_shift is True; expected an integer"),
    "a float": ('base = "ort"\nfirst_shift = 1.0', r"first_shift is 1.0; expected an integer"),
    "no such value": ('base = "ort"\noverflow = "clip"', r"overflow is 'clip'; expected wrap, saturate, refuse"),
    "a delegate beside own decisions": (
        'base = "xnnpack"\naccumulator_bits = 16',
        r"delegate xnnpack .* another accumulator_bits; expected delegate none",
    ),
    "a number for text": ('base = "ort"\nrounding = 3', r"rounding is 3; expected half_even, half_up, .*hwguide"),
    "an unknown key": ('base = "ort"\nroundng = "floor"', r"'roundng' is no field .* did you mean rounding\?"),
    "a far key": ('base = "ort"\nzzz = 1', r"'zzz' is no field .* the fields are name, "),
    "an oracle": ('base = "ort"\noracle = "ort"', r"oracle: an own chip has none"),
    "no base": ('scale = "multiplier"', r"multiplier_bits, .* missing; set every field, or a base"),
    "an unknown base": ('base = "tflit"', r"base is 'tflit'; expected .*; did you mean tflite\?"),
    "a base that is a list": ("base = [1]", r"base is \[1\]; expected"),
    "the name of another": ('base = "ort"\nname = "tflite"', r"name is 'tflite'; expected another name"),
    "an empty name": ('base = "ort"\nname = ""', r"name is ''; expected one line of text"),
    "an unknown operator": (
        'base = "ort"\n[overrides.Ad]\nadd = "float"',
        r"overrides.'Ad' is no operator; did you mean",
    ),
    "a wrong override": ('base = "ort"\n[overrides.Add]\nadd = 1', r"overrides.Add.add is 1; expected fma, left_shift"),
    "an unknown override": ('base = "ort"\n[overrides.Add]\nname = "x"', r"overrides.Add.'name' is no field"),
    "overrides as text": ('base = "ort"\noverrides = "Add"', r"overrides is 'Add'; expected tables"),
    "an override as text": ('base = "ort"\n[overrides]\nAdd = "float"', r"overrides.Add is 'float'; expected a table"),
    "float32 and floor": ('base = "ort"\nrounding = "floor"', r"scale float32 goes with rounding half_even"),
    "float64 and half_up": ('base = "ort"\nscale = "float64"\nrounding = "half_up"', r"scale float64 goes with"),
    "two stages of a shift": ('base = "pow2"\nfirst_shift = 3', r"power_of_two goes with first_shift 0"),
    "a long first stage": ('base = "tflite-ref"\nmultiplier_bits = 16', r"first_shift goes up to .* = 15, found 31"),
    "a mean by shifts": ('base = "pow2"\nmean = "requantize"', r"mean requantize divides a multiplier"),
    "narrow pairs": (
        'base = "ort"\noverflow = "pair_saturate"\naccumulator_bits = 20',
        r"pair_saturate goes with accumulator_bits 32, found 20",
    ),
    "snap without shifts": ('base = "ort"\nsnap = "nearest"', r"snap nearest is for scale power_of_two"),
    "integers by a float": ('base = "ort"\nadd = "left_shift"', r"add left_shift rescales integers"),
    "contradicting override": (
        'base = "pow2"\n[overrides.Conv]\nfirst_shift = 2',
        r"overrides.Conv: scale power",
    ),
    "no TOML": ("base = ", r"this is no TOML: Invalid value"),
    "no UTF-8": (b'base = "\xff"', r"UTF-8; byte 8 is not"),
    "a number without end": (f"first_shift = {'9' * 5000}", r"a line .* at most 1000 characters"),
    "a key without end": ("a." * 32_000 + "b = 1", r"a line .* at most 1000 characters"),
    "nested": ("a = " + "[\n" * 30_000, r"this is no TOML"),
    "huge": (b"#" * (2**16 + 1), r"at most 65536 bytes"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_wrong_file_gets_one_sentence(case: str, tmp_path: Path) -> None:
    text, sentence = BAD[case]
    with pytest.raises(BadInput, match=sentence) as caught:
        read(tmp_path, text)
    said = str(caught.value)
    assert "npu.toml: " in said
    assert len(said) < 900
    assert "\n" not in said


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.toml"
    os.mkfifo(pipe)
    for path, reason in ((tmp_path / "no.toml", "No such file"), (tmp_path, "Is a directory"), (pipe, "no file")):
        with pytest.raises(BadInput, match=reason):
            read_profile(path, PROFILES, ())


def test_every_legal_value_is_taken(tmp_path: Path) -> None:
    """And the ends of every range; the next integer is not."""
    for name, legal in decisions().items():
        values: tuple[Any, ...] = (legal.least, legal.greatest) if isinstance(legal, Within) else legal
        base = "pow2" if name in ("snap", "first_shift", "fraction_bits") else "tflite-ref"
        for value in values:
            try:
                found = read(tmp_path, f'base = "{base}"\n{name} = {value!r}')
            except BadInput as problem:
                assert any(word in str(problem) for word in ("goes with", "goes up to")), problem  # noqa: PT017
                continue
            assert getattr(found, name) == value
        if isinstance(legal, Within):
            for value in (legal.least - 1, legal.greatest + 1):
                with pytest.raises(BadInput, match=f"{name} is {value}; expected an integer"):
                    read(tmp_path, f'base = "{base}"\n{name} = {value}')


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_a_profile_shown_reads_back(name: str, tmp_path: Path) -> None:
    found = read(tmp_path, to_toml(PROFILES[name]))
    assert found.digest == PROFILES[name].digest
    assert not found.oracle
    assert to_toml(replace(found, name="own")).splitlines()[3:] == to_toml(PROFILES[name]).splitlines()[3:]


def test_the_identity_is_the_content(tmp_path: Path) -> None:
    """Not the file name, the name, the comments or the order; every decision counts, overrides too."""
    (tmp_path / "other").mkdir()
    one = read(tmp_path, 'base = "ort"\nname = "one"\nbias_bits = 16\nadd = "float"')
    two = read(tmp_path / "other", '# a chip\nadd = "float"\nbias_bits = 16\nbase = "ort"\nsource = "x"')
    assert identity(one) == identity(two) == f"sha256 {one.digest}"
    assert identity(PROFILES["ort"]) == "ort"
    more = [read(tmp_path, f'base = "ort"\n{line}') for line in ("bias_bits = 16", "[overrides.Conv]\nbias_bits = 16")]
    assert len({one.digest, PROFILES["ort"].digest, *(m.digest for m in more)}) == 4


def test_overrides_reach_their_operator_only(tmp_path: Path) -> None:
    found = read(tmp_path, 'base = "ort"\n[overrides.Add]\nadd = "float"\n[overrides.Conv]\nbias_bits = 20')
    assert found.for_operator("Add").add == "float"
    assert found.for_operator("Conv") == replace(found, bias_bits=20, overrides=())
    assert found.for_operator("Gemm") == found
    path = tmp_path / "npu.toml"
    kinds = {row.operator: row.steps for row in q8emu.inspect(q8emu.load(numerics=str(path))).rows}
    assert "float_binary" in str(kinds["Add"])
    assert "mul" not in str(kinds["Conv"])


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda p: p.stem)
def test_the_examples_run_on_the_packaged_model(example: Path) -> None:
    """Every kernel set gives the bits of the definition."""
    inputs = {name: array[:1] for name, array in models.default_inputs().items()}
    expected = q8emu.run(q8emu.load(numerics=str(example), kernels="spec"), inputs).tensors
    for isa in ISAS:
        found = q8emu.run(q8emu.load(numerics=str(example), kernels=isa), inputs).tensors
        assert all(np.array_equal(found[name], expected[name]) for name in expected)


def test_verify_of_an_own_chip_is_decided_by_the_definition() -> None:
    inputs = {name: array[:1] for name, array in models.default_inputs().items()}
    for name in ("hwguide", str(EXAMPLES[0])):
        report = q8emu.verify(inputs=inputs, numerics=name)
        assert report.holds
        assert report.deciding == ("spec",)
        assert report.oracles[0].verdict == "exact"
        assert len(report.oracles) > 1, "the runtimes are reported"
        assert "sha256" in str(report.fingerprint)


def test_the_definition_is_not_held_to_itself(capsys: pytest.CaptureFixture[str]) -> None:
    for options in (("--numerics", "hwguide"), ("--against", "spec")):
        found = Outcome(capsys, "verify", "--kernels", "spec", "--random", "1", *options)
        assert found.code == 2
        assert "says nothing about itself" in found.err


def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What show prints is a file that check takes; a wrong one is exit code 2 from every command that takes it."""
    shown = Outcome(capsys, "numerics", "show", "hwguide")
    assert shown.code == 0
    chip = tmp_path / "chip.toml"
    chip.write_text(shown.out)
    checked = Outcome(capsys, "numerics", "check", chip)
    assert checked.code == 0
    assert PROFILES["hwguide"].digest in checked.out
    assert Outcome(capsys, "numerics", "check", chip, "--json").json["rounding"] == "hwguide"
    assert Outcome(capsys, "numerics", "show", "tflite", "--json").json["sha256"] == PROFILES["tflite"].digest
    assert "pow2-half-even" in Outcome(capsys, "numerics", "list").out
    assert {p["name"] for p in Outcome(capsys, "numerics", "list", "--json").json["profiles"]} == set(PROFILES)
    Outcome(capsys, "numerics", "show", "tflit").assert_sentence("did you mean 'tflite'?")
    chip.write_text('base = "ort"\nbias_bits = 99\n')
    for arguments in (
        ["numerics", "check"],
        ["run", "--numerics"],
        ["inspect", "--numerics"],
        ["verify", "--numerics"],
    ):
        Outcome(capsys, *arguments, chip).assert_sentence("bias_bits is 99; expected an integer from 8 to 32.")
