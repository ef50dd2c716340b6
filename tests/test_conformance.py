# SPDX-License-Identifier: Apache-2.0
"""The conformance table: its rows are complete, a few of everything agree, and what was measured differs nowhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest

import conformance_table
from conformance_bulk import KINDS, LARGEST_BIAS, crafted
from conformance_cases import Count, requantizations, tflite_cases
from conformance_rows import ROWS, Row
from q8emu.backends import BACKENDS
from q8emu.numerics import PROFILES

Import = Callable[..., ModuleType]

LEAST = {"cases": 1000, "requantizations": 10**7}
"""So many units a committed row has at least."""


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.key)
def test_short_form(row: Row, seed: int, package: Import) -> None:
    """A few of every row."""
    if row.needs is not None:
        package(row.needs[0], command=row.needs[1])
    reason = conformance_table.missing(row)
    if reason is not None:
        pytest.skip(reason)
    found = conformance_table.measure(row, conformance_table.SHORT[row.unit], seed).found
    assert found.values + found.excused > 0
    assert found.differing == 0, (
        f"{found.first} (python tests/conformance_table.py --seed {seed} --operator {row.operator!r})"
    )


def test_rows_have_names_of_their_own() -> None:
    assert len({row.key for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_is_held_to_its_oracle(profile: str) -> None:
    """A profile that names an oracle has rows against it, of crafted requantizations above all."""
    record = PROFILES[profile]
    units = [row.unit for row in ROWS if (row.profile, row.oracle) == (profile, record.oracle)]
    assert not record.oracle or "requantizations" in units, f"conformance_rows.py has no rows for '{profile}'"
    if record.oracle in BACKENDS:
        assert units.count("cases") >= 10, f"conformance_rows.py lacks operators of '{profile}'"


def test_the_committed_table_has_every_row_and_no_difference() -> None:
    measured = {conformance_table.key(m): m for m in conformance_table.read()}
    listed = {row.key: row for row in ROWS}
    assert set(measured) == set(listed), "run python tests/conformance_table.py --only PROFILE --cases 1000 --write"
    for name, m in measured.items():
        assert m["differing"] == 0, name
        assert m["units"] + m["refused"] >= LEAST[listed[name].unit] * 0.99, name
        assert m["values"] + m["excused"] >= m["units"], name


# Long measurements go on where they stopped


def test_a_measurement_goes_on_as_if_it_had_not_stopped(package: Import) -> None:
    """Two slices count what one does, batch by batch."""
    package("ai_edge_litert.interpreter", "litert")
    row = replace(next(row for row in ROWS if (row.profile, row.operator) == ("tflite", "RESHAPE")), batch=64)
    whole = conformance_table.measure(row, 256, 3)
    first = conformance_table.measure(row, 128, 3)
    assert first.batches == 2
    assert conformance_table.measure(row, 256, 3, first) == whole
    table = {row.key: conformance_table.record(row, first, 3, "")}
    assert conformance_table.stored(row, 3, table) == first


def test_other_circumstances_begin_anew(package: Import) -> None:
    package("ai_edge_litert.interpreter", "litert")
    row = next(row for row in ROWS if (row.profile, row.operator) == ("tflite", "RESHAPE"))
    found = conformance_table.record(row, conformance_table.Progress(Count(1, 16), 1, row.batch), 0, "")
    assert conformance_table.stored(row, 0, {row.key: found}) is not None
    for other in ({"version": "ai-edge-litert 0"}, {"cpu": "another"}, {"size": 1}, {"differing": 1}):
        assert conformance_table.stored(row, 0, {row.key: found | other}) is None
    assert conformance_table.stored(row, 1, {row.key: found}) is None


def test_the_row_of_which_least_is_done_comes_next() -> None:
    rows = [row for row in ROWS if row.unit == "cases"][:2]
    plan = conformance_table.Plan(rows, conformance_table.SHORT, 0, {})
    first, second = plan.next(), plan.next()
    assert first is not None and second is not None
    assert plan.next() is None
    half = conformance_table.Progress(Count(units=conformance_table.SHORT["cases"] // 2), 1, 16)
    plan.done(first[0], half)
    plan.done(second[0], conformance_table.Progress(Count(units=conformance_table.SHORT["cases"]), 1, 16))
    third = plan.next()
    assert third is not None
    assert third[0] == first[0]
    assert third[3] == half


# The generators can fail


def test_another_arithmetic_is_noticed(package: Import, rng: np.random.Generator) -> None:
    """The reference kernels round differently from the built-in ones: crafted and random numbers both show it."""
    package("ai_edge_litert.interpreter", "litert")
    bulk = requantizations("tflite", "litert-ref", "CONV_2D", "int8", rng, 2**14)
    assert bulk.differing > 50
    assert "got" in bulk.first
    assert tflite_cases("tflite", "litert-ref", "CONV_2D", rng, 1024).differing > 0


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_crafted_accumulators_are_ties_saturations_and_extremes(dtype: str) -> None:
    """Counted with exact fractions of the scale as it is stored."""
    ties = near = beyond = extreme = total = 0
    for seed in range(8):
        bulk = crafted(np.random.default_rng(seed), 16 * len(KINDS), dtype)
        acc = (bulk.x.astype(np.int64)[:, None] - bulk.x_zero_point) * bulk.w.astype(np.int64) + bulk.bias
        real = acc * bulk.w_scale.astype(np.float64) * bulk.x_scale / bulk.y_scale
        apart = np.abs(real - np.floor(real) - 0.5)
        ties += int((apart == 0).sum())
        near += int(((apart > 0) & (apart < 1e-3)).sum())
        beyond += int((np.abs(real) > 300).sum())
        extreme += int((np.abs(acc) > LARGEST_BIAS - 2**17).sum())
        total += acc.size
        assert np.abs(acc).max() < 2**31
    assert ties > total // 40
    assert min(near, beyond, extreme) > total // 200
