# SPDX-License-Identifier: Apache-2.0
"""What the tests of the command line share: the outcome of a command."""

from __future__ import annotations

import json
from typing import Any

import pytest

from q8emu.cli import exit_code


class Outcome:
    """What a command left behind."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *arguments: object) -> None:
        self.code = exit_code([str(a) for a in arguments])
        self.out, self.err = capsys.readouterr()

    @property
    def json(self) -> dict[str, Any]:
        """Stdout as the one JSON document that it has to be."""
        found = json.loads(self.out)
        assert isinstance(found, dict)
        return found

    def assert_sentence(self, *parts: str) -> None:
        """Exit code 2, nothing on stdout, one line on stderr."""
        assert self.code == 2, (self.code, self.err)
        assert self.out == ""
        assert self.err.startswith("q8emu: ")
        assert self.err.count("\n") == 1, self.err
        assert "Traceback" not in self.err
        for part in parts:
            assert part in self.err
