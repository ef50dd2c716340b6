# SPDX-License-Identifier: Apache-2.0
"""Pickles read by a machine of our own, which executes nothing.

No class is looked up and no function is called by name: an object is its class name with its state, and a closed list
says what the few functions mean that a file of a kind calls. What can be made is bounded by the bytes of the pickle.
"""

from __future__ import annotations

import pickletools
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from q8emu.errors import TooLarge

MAX_INSTRUCTIONS = 2**21
"""In one pickle; each makes one value at most."""


class Damaged(Exception):
    """What is wrong with the file; the reader makes a sentence of it."""


@dataclass(frozen=True)
class Global:
    """A name in a module."""

    name: str


@dataclass
class Object:
    """An instance: the name of its class, and what it was built from."""

    kind: str
    state: Any = field(default=None, repr=False)  # may contain itself

    def attribute(self, name: str) -> Any:
        """A named attribute.

        Raises:
            Damaged: there is none.
        """
        if not isinstance(self.state, dict) or name not in self.state:
            raise Damaged(f"no attribute '{name}' in its {self.kind.rsplit('.', 1)[-1]}")
        return self.state[name]


@dataclass(frozen=True)
class Dialect:
    """What one kind of file holds, apart from the containers and constants of all of them.

    Args:
        writer: who writes such files, for the sentence that refuses an instruction.
        literals: the instructions that stand for their argument. A string of Python 2 is text, one character a byte.
        calls: module and name of each function that a pickle may call → what it means here. What it returns must not
            be larger than its arguments: few bytes can ask for a call again and again.
    """

    writer: str
    literals: frozenset[str]
    calls: Mapping[str, Callable[..., Any]]


def load(content: bytes, name: str, dialect: Dialect, persistent: Callable[[Any], Any] | None = None) -> Any:
    """The value of a pickle.

    Args:
        content: the pickle.
        name: of the pickle, for sentences.
        dialect: what such a pickle may hold.
        persistent: what a persistent id stands for; without it, there may be none.

    Raises:
        Damaged: it does not load, or holds what the dialect has not.
        TooLarge: it has more instructions than the limit.

    Example:
        >>> import pickle
        >>> plain = Dialect("nobody", frozenset({"BININT1", "BINUNICODE"}), {})
        >>> load(pickle.dumps({"a": [1, 2]}, protocol=2), "example", plain)
        {'a': [1, 2]}
        >>> load(pickle.dumps(print, protocol=2), "example", plain)
        Global(name='__builtin__ print')
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pickletools decodes escapes in strings that are refused later
            return _Machine(name, dialect, persistent).run(content)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as problem:
        raise Damaged(f"a pickle '{name}' that does not load ({type(problem).__name__}: {problem})") from problem


class _Mark:
    """Where a list on the stack begins."""


_MARK = _Mark()
_FIXED: dict[str, Callable[[], Any]] = {
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "MARK": lambda: _MARK,
    "NEWFALSE": lambda: False,
    "NEWTRUE": lambda: True,
    "NONE": lambda: None,
}


class _Machine:
    def __init__(self, name: str, dialect: Dialect, persistent: Callable[[Any], Any] | None) -> None:
        self._name, self._dialect, self._persistent = name, dialect, persistent
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self, content: bytes) -> Any:
        for count, (code, argument, _) in enumerate(pickletools.genops(content)):
            if count >= MAX_INSTRUCTIONS:
                raise TooLarge(f"The pickle '{self._name}' has more than {MAX_INSTRUCTIONS:,} instructions.")
            if code.name == "STOP":
                return self._stack.pop()
            self._step(code.name, argument)
        raise Damaged(f"a pickle '{self._name}' without an end")

    def _step(self, code: str, argument: Any) -> None:
        stack = self._stack
        if code in self._dialect.literals:
            stack.append(argument)
        elif code in _FIXED:
            stack.append(_FIXED[code]())
        elif code in ("BINPUT", "LONG_BINPUT"):
            self._memo[argument] = stack[-1]
        elif code in ("BINGET", "LONG_BINGET"):
            stack.append(self._memo[argument])
        elif code == "GLOBAL":
            stack.append(Global(argument))
        elif code in ("TUPLE1", "TUPLE2", "TUPLE3"):
            stack.append(tuple([stack.pop() for _ in range(int(code[-1]))][::-1]))
        elif code == "BINPERSID" and self._persistent is not None:
            stack.append(self._persistent(stack.pop()))
        elif code != "PROTO":
            self._build(code)

    def _build(self, code: str) -> None:
        stack = self._stack
        if code == "TUPLE":
            stack.append(tuple(self._marked()))
        elif code in ("APPEND", "APPENDS"):
            more = [stack.pop()] if code == "APPEND" else self._marked()
            stack[-1].extend(more)
        elif code in ("SETITEM", "SETITEMS"):
            flat = [stack.pop(), stack.pop()][::-1] if code == "SETITEM" else self._marked()
            if not all(isinstance(key, (str, bytes, int, float)) for key in flat[::2]):  # a tuple's hash has no bounds
                raise Damaged("a dictionary with keys that are neither text nor numbers")
            stack[-1].update(zip(flat[::2], flat[1::2], strict=True))
        elif code == "NEWOBJ":
            _, kind = stack.pop(), stack.pop()
            stack.append(Object(kind.name.replace(" ", ".")))
        elif code == "BUILD":
            state, made = stack.pop(), stack[-1]
            if not isinstance(made, Object) or made.state is not None:
                raise Damaged("a pickle that builds something else than an object")
            made.state = state
        elif code == "REDUCE":
            arguments, function = stack.pop(), stack.pop()
            if not isinstance(function, Global) or function.name not in self._dialect.calls:
                what = f"'{function.name}'" if isinstance(function, Global) else "something that is no function"
                raise Damaged(f"a pickle that calls {what}, which q8emu does not")
            stack.append(self._dialect.calls[function.name](*arguments))
        else:
            raise Damaged(f"a pickle with the instruction {code}, which {self._dialect.writer} does not write")

    def _marked(self) -> list[Any]:
        found: list[Any] = []
        while (top := self._stack.pop()) is not _MARK:
            found.append(top)
        return found[::-1]
