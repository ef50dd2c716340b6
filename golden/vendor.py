# SPDX-License-Identifier: Apache-2.0
"""Golden values of arithmetic that vendors publish as C: inputs from a seed, values from the compiled functions.

    python golden/vendor.py --library cmsis-nn=LIBRARY.so ...    # compare; --write replaces the values

The vendors' code is not part of this project. SOURCES says which functions of theirs a shared library has to offer, as
loops over arrays; the committed values were made by gcc 12.2 with -O2 -fwrapv -ffp-contract=off on x86-64.
"""

from __future__ import annotations

import argparse
import ctypes
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a script

from golden import archive

ROOT = Path(__file__).resolve().parents[1]
COUNT = 100_000
RUN = 1000
SEED = 20261121

SOURCES = {
    "cmsis-nn": (
        "ARM-software/CMSIS-NN Include/arm_nnsupportfunctions.h: arm_nn_requantize, C path. "
        "void requantize(const int32_t *acc, const int32_t *multiplier, const int32_t *shift, int32_t *y, int64_t n)"
    ),
    "cmsis-nn-single": "the same, compiled with CMSIS_NN_USE_SINGLE_ROUNDING",
    "gemmini": (
        "ucb-bar/gemmini-rocc-tests include/gemmini_params.h: ACC_SCALE, and the sum of two MVIN_SCALE through "
        "ACC_SCALE by 1 as include/gemmini.h adds. void acc_scale(const int32_t *acc, const float *scale, int8_t *y, "
        "int64_t n); void resadd(const int8_t *a, const int8_t *b, const float *A, const float *B, int8_t *y, "
        "int64_t n)"
    ),
    "nnom": (
        "majianjia/nnom inc/nnom.h: NNOM_ROUND, and the output of src/backends/nnom_local.c. void requantize(const "
        "int32_t *acc, const int32_t *shift, int8_t *y, int64_t n); void add(const int8_t *a, const int8_t *b, const "
        "int32_t *shift, int8_t *y, int64_t n)"
    ),
}
"""Per file: where the functions come from, and what a library offers."""

Arrays = dict[str, np.ndarray]


def multiplied() -> Arrays:
    """acc, multiplier in [2^30, 2^31) and total right shift: ties and their neighbours, saturations, extremes."""
    rng = np.random.default_rng(SEED)
    shift = rng.integers(2, 63, COUNT)
    multiplier = rng.integers(2**30, 2**31, COUNT)
    round_ones = rng.integers(0, 2, COUNT).astype(bool)
    multiplier[round_ones] = rng.choice([2**30, 3 * 2**29, 5 * 2**28, 2**31 - 1], int(round_ones.sum()))
    bound = 2 ** np.minimum(shift - 1, 31)
    halves = rng.integers(-300, 300, COUNT) * 2 + 1
    near = [(int(h) << (int(s) - 1)) // int(m) for h, s, m in zip(halves, shift, multiplier, strict=True)]
    random = rng.integers(-bound, bound)
    ends = np.where(rng.integers(0, 2, COUNT), bound - 1, -bound)
    kind = rng.integers(0, 10, COUNT)
    ties = np.array([min(max(v, -(2**31)), 2**31 - 1) for v in near]) + rng.integers(-1, 2, COUNT)
    acc = np.clip(np.where(kind < 6, ties, np.where(kind < 9, random, ends)), -bound, bound - 1)
    return {name: a.astype(np.int32) for name, a in (("acc", acc), ("multiplier", multiplier), ("shift", shift))}


def scaled() -> Arrays:
    """acc and float32 scale: exact ties of powers of two and of others, accumulators beyond 2^24, saturations."""
    rng = np.random.default_rng(SEED + 1)
    exponent = rng.uniform(-20, 1, COUNT)
    powers = rng.integers(0, 2, COUNT).astype(bool)
    scale = np.exp2(np.where(powers, np.round(exponent), exponent)).astype(np.float32)
    halves = rng.integers(-140, 140, COUNT) + 0.5
    ties = np.rint(halves / scale.astype(np.float64)) + rng.integers(-1, 2, COUNT)
    random = rng.integers(-(2**31), 2**31, COUNT) >> rng.integers(0, 31, COUNT)
    acc = np.where(rng.integers(0, 10, COUNT) < 7, ties, random)
    return {"acc": np.clip(acc, -(2**31), 2**31 - 1).astype(np.int64).astype(np.int32), "scale": scale}


def branches() -> Arrays:
    """Two int8 operands and the float32 scale of each, the same for RUN neighbours."""
    rng = np.random.default_rng(SEED + 2)
    a, b = rng.integers(-128, 128, (2, COUNT)).astype(np.int8)
    exponents = rng.uniform(-3, 2, (2, COUNT // RUN))
    powers = rng.integers(0, 2, exponents.shape).astype(bool)
    scales = np.exp2(np.where(powers, np.round(exponents), exponents)).astype(np.float32)
    a_scale, b_scale = np.repeat(scales, RUN, axis=1)
    return {"a": a, "b": b, "a_scale": a_scale, "b_scale": b_scale}


def shifted() -> Arrays:
    """acc and a right shift of 0 to 20 bits, ties among them."""
    rng = np.random.default_rng(SEED + 3)
    shift = rng.integers(0, 21, COUNT)
    ties = (rng.integers(-140, 140, COUNT) * 2 + 1) * 2.0 ** (shift - 1) + rng.integers(-1, 2, COUNT)
    random = rng.integers(-(2**30), 2**30, COUNT)
    acc = np.where(rng.integers(0, 10, COUNT) < 7, ties.astype(np.int64), random)
    return {"acc": acc.astype(np.int32), "shift": shift.astype(np.int32)}


def sums() -> Arrays:
    """Two int8 operands and a right shift of 0 to 4 bits."""
    rng = np.random.default_rng(SEED + 4)
    a, b = rng.integers(-128, 128, (2, COUNT)).astype(np.int8)
    return {"a": a, "b": b, "shift": rng.integers(0, 5, COUNT).astype(np.int32)}


def _call(library: ctypes.CDLL, name: str, inputs: tuple[np.ndarray, ...], dtype: str) -> np.ndarray:
    y = np.zeros(COUNT, dtype)
    arrays = [np.ascontiguousarray(array) for array in inputs]
    getattr(library, name)(*(ctypes.c_void_p(a.ctypes.data) for a in (*arrays, y)), ctypes.c_int64(COUNT))
    return y


def compute(name: str, path: Path) -> Arrays:
    """What the functions of a library make of the inputs."""
    library = ctypes.CDLL(str(path))
    if name.startswith("cmsis-nn"):
        given = multiplied()
        vendors_shift = (31 - given["shift"]).astype(np.int32)  # to the left, and from 31
        y = _call(library, "requantize", (given["acc"], given["multiplier"], vendors_shift), "int32")
        return {"requantize": np.clip(y, -(2**15), 2**15 - 1).astype(np.int16)}
    if name == "gemmini":
        return {
            "acc_scale": _call(library, "acc_scale", tuple(scaled().values()), "int8"),
            "resadd": _call(library, "resadd", tuple(branches().values()), "int8"),
        }
    return {
        "requantize": _call(library, "requantize", tuple(shifted().values()), "int8"),
        "add": _call(library, "add", tuple(sums().values()), "int8"),
    }


def path_of(name: str) -> Path:
    """The committed file."""
    return ROOT / "golden/vendor" / f"{name}.npz"


def committed(name: str) -> Mapping[str, np.ndarray]:
    """The committed values."""
    return archive.read_npz(path_of(name).read_bytes())


def main() -> int:
    """Compare libraries with the committed values, or replace these."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", action="append", required=True, metavar="NAME=PATH", help=", ".join(SOURCES))
    parser.add_argument("--write", action="store_true", help="replace the values; then regenerate.py --write")
    args = parser.parse_args()
    differing = 0
    for given in args.library:
        name, _, path = given.partition("=")
        made = compute(name, Path(path).resolve())
        if args.write:
            path_of(name).parent.mkdir(exist_ok=True)
            path_of(name).write_bytes(archive.npz_bytes(made))
        for key, array in made.items():
            count = int((array != committed(name)[key]).sum())
            print(f"{name} {key}: {count} of {array.size} differ")
            differing += count
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
