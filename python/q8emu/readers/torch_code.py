# SPDX-License-Identifier: Apache-2.0
"""The code of a TorchScript file, evaluated on descriptions of tensors: straight lines of assignments and calls.

The code is parsed, never executed. A method of a module of the file is entered; every other call goes to the closed
list of operators that the reader has. Branches, loops and anything else that is no assignment are refused.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from q8emu.errors import TooLarge, UnsupportedOperator
from q8emu.readers.torch_archive import Archive
from q8emu.unpickle import Damaged, Object

MAX_DEPTH = 64
"""Modules inside modules."""

MAX_PARTS = 2**12
"""Of a list, those of the lists in it included: names can make it grow twofold line by line."""

MAX_CALLS = 2**16
"""Calls in one file; a network for one image needs far less."""


class Path(str):
    """A name in the code that is no variable: torch.relu, ops.quantized.conv2d."""


Operator = Callable[[str, Sequence[Any], Mapping[str, Any]], Any]


class Code:
    """The classes of the file and what their methods give."""

    def __init__(self, archive: Archive, constants: Sequence[Any], operator: Operator) -> None:
        """Evaluate with these constants; `operator` is asked for each call that is no method of the file."""
        self._archive, self._constants, self._operator = archive, constants, operator
        self._files: dict[str, ast.Module] = {}
        self._calls = 0

    def arguments(self, kind: str) -> list[str]:
        """Names of the arguments of a class's forward, without self."""
        return [a.arg for a in self._method(kind, "forward").args.args[1:]]

    def call(self, owner: Object, method: str, arguments: Sequence[Any], depth: int = 0) -> Any:
        """What a method returns.

        Raises:
            Damaged: the code contradicts itself.
            UnsupportedOperator: a statement or operator that q8emu does not read.
        """
        self._calls += 1
        if depth > MAX_DEPTH or self._calls > MAX_CALLS:
            raise Damaged("calls without an end")
        function = self._method(owner.kind, method)
        names = [a.arg for a in function.args.args]
        if len(names) != len(arguments) + 1:
            raise Damaged(f"{len(arguments)} arguments for '{method}', which takes {len(names) - 1}")
        scope = _Scope(self, dict(zip(names, [owner, *arguments], strict=True)), depth)
        return scope.run(function.body)

    def constant(self, name: str) -> Any:
        """A constant of the file: c0, c1 and so on."""
        if not name[1:].isdigit() or int(name[1:]) >= len(self._constants):
            raise Damaged(f"no constant '{name}'")
        return _bounded(self._constants[int(name[1:])])

    def operator(self, name: str, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
        """A call that is no method of the file."""
        self._calls += 1
        if self._calls > MAX_CALLS:
            raise Damaged("calls without an end")
        return self._operator(name, arguments, keywords)

    def _method(self, kind: str, name: str) -> ast.FunctionDef:
        module, _, own = kind.rpartition(".")
        for node in self._file(module).body:
            if isinstance(node, ast.ClassDef) and node.name == own:
                for member in node.body:
                    if isinstance(member, ast.FunctionDef) and member.name == name:
                        return member
        raise Damaged(f"no method '{name}' of '{kind}'")

    def _file(self, module: str) -> ast.Module:
        if module not in self._files:
            path = f"code/{module.replace('.', '/')}.py"
            try:
                with warnings.catch_warnings():  # about the style of the code
                    warnings.simplefilter("ignore")
                    self._files[module] = ast.parse(self._archive.code(path))
            except (SyntaxError, ValueError, MemoryError, RecursionError) as problem:
                raise Damaged(f"code '{path}' that does not parse") from problem
        return self._files[module]


class _Scope:
    """One call of one method."""

    def __init__(self, code: Code, names: dict[str, Any], depth: int) -> None:
        self._code, self._names, self._depth = code, names, depth

    def run(self, body: Sequence[ast.stmt]) -> Any:
        for statement in body:
            if isinstance(statement, ast.Return):
                return None if statement.value is None else self._value(statement.value)
            if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
                raise UnsupportedOperator(
                    f"The TorchScript code has the statement '{_short(statement)}'; q8emu reads assignments and calls. "
                    "Trace the model (torch.jit.trace) instead of scripting it."
                )
            self._assign(statement.targets[0], self._value(statement.value))
        return None

    def _assign(self, target: ast.expr, value: Any) -> None:
        if isinstance(target, ast.Name):
            self._names[target.id] = value
        elif isinstance(target, ast.Tuple) and isinstance(value, (list, tuple)) and len(value) == len(target.elts):
            for one, part in zip(target.elts, value, strict=True):
                self._assign(one, part)
        else:
            raise UnsupportedOperator(f"The TorchScript code assigns to '{_short(target)}'; q8emu reads plain names.")

    def _value(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, ast.Name):
            return self._names.get(node.id, Path(node.id))
        if isinstance(node, (ast.List, ast.Tuple)):
            parts = [self._value(part) for part in node.elts]
            return _bounded(parts if isinstance(node, ast.List) else tuple(parts))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -self._value(node.operand)
        if isinstance(node, ast.Subscript):
            return self._value(node.value)[self._value(node.slice)]
        if isinstance(node, ast.Attribute):
            return self._attribute(self._value(node.value), node.attr)
        if isinstance(node, ast.Call):
            return self._call(node)
        raise UnsupportedOperator(f"The TorchScript code has '{_short(node)}', which q8emu does not read.")

    def _attribute(self, owner: Any, name: str) -> Any:
        if isinstance(owner, Path):
            return self._code.constant(name) if owner == "CONSTANTS" else Path(f"{owner}.{name}")
        if not isinstance(owner, Object):
            raise Damaged(f"an attribute '{name}' of something that is no module")
        return _bounded(owner.attribute(name))

    def _call(self, node: ast.Call) -> Any:
        function = node.func
        if isinstance(function, ast.Attribute):
            owner = self._value(function.value)
            if isinstance(owner, Object):
                arguments = [self._value(a) for a in node.args]
                return self._code.call(owner, function.attr, arguments, self._depth + 1)
            name = f"{owner}.{function.attr}" if isinstance(owner, Path) else ""
        else:
            name = function.id if isinstance(function, ast.Name) else ""
        if name in ("annotate", "unchecked_cast"):
            return self._value(node.args[1])
        arguments = [self._value(a) for a in node.args]
        if name == "getattr":
            return self._attribute(*arguments)
        keywords = {k.arg: self._value(k.value) for k in node.keywords if k.arg}
        if not name:
            raise UnsupportedOperator(f"The TorchScript code calls '{_short(function)}', which q8emu does not read.")
        return self._code.operator(name, arguments, keywords)


def _bounded(value: Any) -> Any:
    """A value of the code, after counting what is in it.

    Raises:
        TooLarge: it has too many parts; the lists in a list may be one and the same, or the list itself.
    """
    left, count = [value], 0
    while left:
        top = left.pop()
        if isinstance(top, (list, tuple, dict)):
            count += len(top)
            if count > MAX_PARTS:
                raise TooLarge(f"The TorchScript code has a list of more than {MAX_PARTS:,} parts, the limit.")
            left.extend(top.values() if isinstance(top, dict) else top)
    return value


def _short(node: ast.AST) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 60 else f"{text[:57]}..."
