# SPDX-License-Identifier: Apache-2.0
"""Names of an ONNX model under construction: those of the graph stay, new ones are free."""

from __future__ import annotations

from q8emu.graph import INTERNAL, Graph


class Names:
    """Maps tensors of a graph to names in the model."""

    def __init__(self, graph: Graph) -> None:
        public = [n for n in graph.tensors if not n.startswith(INTERNAL)]
        self._taken = set(public) | {n for n in graph.constants if not n.startswith(INTERNAL)}
        self._given: dict[str, list[str]] = {}
        self._nodes: set[str] = set()
        self._known = {n: n for n in self._taken}

    def __getitem__(self, name: str) -> str:
        """The model's name of a tensor; one that only q8emu knows gets a new one."""
        if name not in self._known:
            self._known[name] = self.fresh(name.removeprefix(INTERNAL))
        return self._known[name]

    def fresh(self, stem: str) -> str:
        """A name that nothing has."""
        name, count = stem, 1
        while name in self._taken:
            count += 1
            name = f"{stem}_{count}"
        self._taken.add(name)
        self._given.setdefault(stem, []).append(name)
        return name

    def given(self, stem: str) -> list[str]:
        """The names that `fresh` made of a stem."""
        return self._given.get(stem, [])

    def of_node(self, output: str) -> str:
        """A name for the node that makes a tensor."""
        name, count = output, 1
        while name in self._nodes:
            count += 1
            name = f"{output}_{count}"
        self._nodes.add(name)
        return name
