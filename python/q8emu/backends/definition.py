# SPDX-License-Identifier: Apache-2.0
"""The oracle spec: q8emu's own definition on Python integers. It holds the kernels and says nothing of a runtime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from q8emu.backends.base import OracleSession
from q8emu.errors import BackendUnavailable


class Definition:
    """Runs the emulator's own program, so `verify` opens it by itself; a model file alone has no arithmetic."""

    name = "spec"
    describe = "q8emu's own definition on Python integers: holds the kernels, says nothing about a runtime; slow"
    format = "graph"

    def version(self) -> str:
        """None of its own."""
        return "q8emu"

    def why_unavailable(self) -> str | None:
        """It is always there."""
        return None

    def open(self, model: Path, taps: Sequence[str], *, threads: int = 1) -> OracleSession:
        """Not from a model file.

        Raises:
            BackendUnavailable: always.
        """
        raise BackendUnavailable("oracle 'spec' runs a lowered program, not a model file; use q8emu verify")
