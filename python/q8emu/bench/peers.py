# SPDX-License-Identifier: Apache-2.0
"""The runtimes that the emulator is timed against: the plain sessions of the oracles, opened as for `verify`."""

from __future__ import annotations

from collections.abc import Sequence

from q8emu.backends import BACKENDS, OracleSession, backend
from q8emu.bench.result import DIFFERS, EXACT, REFUSED, Outputs
from q8emu.compare import Comparison
from q8emu.emulator import Emulator
from q8emu.errors import BadInput
from q8emu.numerics import PROFILES
from q8emu.report_text import output_text
from q8emu.result import TensorResult
from q8emu.trace import Trace

FAMILIES = {"torch": "torch-x86"}  # what PyTorch chooses on x86-64 when it is not told an engine
BY_FORMAT = {"ONNX": ("ort", "ort-default"), "TFLite": ("litert-xnnpack", "litert")}


def peers_of(model_format: str, against: Sequence[str] | None) -> tuple[str, ...]:
    """The oracles to time against, by the names that `--against` takes.

    Raises:
        BadInput: no such oracle, one that does not run such a file, or none for a file that has to be trusted first.
    """
    if against is None:
        if model_format not in BY_FORMAT:
            raise BadInput(
                f"PyTorch runs the code of a {model_format} file: name an engine (--against torch-fbgemm) for files "
                "that you trust."
            )
        return BY_FORMAT[model_format]
    names = tuple(dict.fromkeys(FAMILIES.get(name, name) for name in against))
    for name in names:
        if backend(name).format == "graph":
            raise BadInput(f"--against {name}: a definition is not a runtime; it is there for q8emu verify.")
        if backend(name).format != model_format:
            raise BadInput(f"--against {name}: it runs {backend(name).format} files; this is a {model_format} file.")
    return names


def numerics_of(peers: Sequence[str]) -> str:
    """The profile whose bits the first peer with a profile of its own promises, or else `ort`.

    Example:
        >>> numerics_of(["litert-xnnpack"]), numerics_of(["ort-default", "ort"]), numerics_of(["torch-x86"])
        ('xnnpack', 'ort', 'ort')
    """
    by_oracle = {profile.oracle: name for name, profile in reversed(PROFILES.items()) if profile.oracle}
    return next((by_oracle[peer] for peer in peers if peer in by_oracle), "ort")


def open_peer(name: str, emulator: Emulator, threads: int) -> OracleSession:
    """The session of an oracle, nothing tapped.

    Raises:
        BackendUnavailable: the runtime is missing, or refuses the model.
    """
    return BACKENDS[name].open(emulator.model, (), threads=threads)


def compare_outputs(emulator: Emulator, name: str, own: Trace, expected: Trace) -> Outputs:
    """Are the outputs of one run the same bits? Those of the profile's own oracle have to be."""
    comparison = Comparison(emulator.program, name, ())
    comparison.update(own, expected)
    rows = comparison.result().outputs
    counts = sum(row.differing for row in rows), sum(row.elements for row in rows)
    told = "; ".join(f"'{row.name}': {output_text(row)}" for row in rows)
    if any(row.failure for row in rows):
        return Outputs(REFUSED, f"{name} gives other outputs than q8emu, so that times would say nothing: {told}")
    if not any(row.differing for row in rows):
        return Outputs(EXACT, told, *counts)
    if name == emulator.numerics.oracle and any(_breaks(row) for row in rows):
        return Outputs(
            REFUSED,
            f"the profile '{emulator.numerics.name}' promises the bits of {name}, and they differ: {told}; times of a "
            "wrong answer would say nothing, see q8emu verify",
            *counts,
        )
    promises = f"the profile '{emulator.numerics.name}' does not promise the bits of {name}"
    return Outputs(DIFFERS, f"{told}; {promises}", *counts)


def _breaks(row: TensorResult) -> bool:
    return row.promised and row.differing > 0
