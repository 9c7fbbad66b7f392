"""Which part of a tree to draw where space is limited, and how its lines hang together. Pure.

A parent with more children than fit shows its failures first and says how many others there are; so does a tree that is
too deep. The static texts and the terminal draw what this module chooses.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from flyte_notebook.notebook.text import count
from flyte_notebook.notebook.tree import Node
from flyte_notebook.record.model import Phase

_FAILURES = frozenset({Phase.FAILED, Phase.TIMED_OUT})
_WORDS = {Phase.TIMED_OUT: "timed out"}


class Line(NamedTuple):
    """One line of a drawing: a node, or (`node` None) the remark `more` about what is left out there."""

    depth: int
    stem: str
    """The branches left of it, such as `│  └─ `; empty for roots."""
    node: Node | None
    more: str


class Outline:
    """The nodes of a tree by parent."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.nodes = nodes
        self.roots: list[Node] = []
        self._children: dict[int, list[Node]] = {}
        self._counts: Counter[Phase] | None = None
        for node in nodes:
            if node.parent is None:
                self.roots.append(node)
            else:
                self._children.setdefault(node.parent.index, []).append(node)

    def children(self, node: Node | None) -> list[Node]:
        """What was called by `node` (None: at the top of the run), in order."""
        return self.roots if node is None else self._children.get(node.index, [])

    def depth_first(self) -> Iterator[Node]:
        """Every node, each before its children, siblings in order."""
        stack = self.roots[::-1]
        while stack:
            node = stack.pop()
            yield node
            stack.extend(reversed(self.children(node)))

    def counts(self, node: Node | None = None) -> Counter[Phase]:
        """Phases of the actions called directly by `node`; by all actions of the run for None."""
        if node is not None:
            return _count(self.children(node))
        if self._counts is None:
            self._counts = _count(self.nodes)
        return self._counts

    def progress(self, group: Node) -> str:
        """`340/1000`: how many of the direct members of `group` have ended."""
        phases = self.counts(group)
        return f"{sum(n for phase, n in phases.items() if phase.terminal)}/{phases.total()}"

    def lines(
        self, *, width: int, depth: int, total: int, first: Callable[[Node], int] | None = None
    ) -> Iterator[Line]:
        """A drawing of at most `total` lines (and one that says what is missing).

        Args:
            width: how many children of one parent are shown.
            depth: how many levels are shown.
            total: how many lines there are.
            first: which children to prefer when there are too many (lowest first); failures by default.
        """
        for drawn, line in enumerate(self._below(None, "", 0, width, depth, first or _failures_first)):
            if drawn == total:
                yield Line(0, "", None, "… and more")
                return
            yield line

    def _below(
        self, parent: Node | None, stem: str, level: int, width: int, depth: int, first: Callable[[Node], int]
    ) -> Iterator[Line]:
        children = self.children(parent)
        shown = _choose(children, width, first)
        hidden = len(children) - len(shown)
        for position, node in enumerate(shown):
            last = position == len(shown) - 1 and not hidden
            branch, below = ("", "") if parent is None else ("└─ ", "   ") if last else ("├─ ", "│  ")
            yield Line(level, stem + branch, node, "")
            if level + 1 < depth:
                yield from self._below(node, stem + below, level + 1, width, depth, first)
            elif self.children(node):
                yield Line(level + 1, stem + below + "└─ ", None, f"… {count(self._size(node), 'action')} below")
        if hidden:
            left_out = _count(children) - _count(shown)
            yield Line(level, stem + ("" if parent is None else "└─ "), None, f"… {hidden:,} more: {tally(left_out)}")

    def _size(self, node: Node) -> int:
        size, stack = 0, list(self.children(node))
        while stack:
            child = stack.pop()
            size += child.id is not None
            stack.extend(self.children(child))
        return size


def _count(nodes: Iterable[Node]) -> Counter[Phase]:
    # By name first: hashing a phase takes as long as everything else here.
    names = Counter([node.phase._name_ for node in nodes if node.phase is not None])
    return Counter({Phase[name]: number for name, number in names.items()})


def tally(phases: Counter[Phase]) -> str:
    """`2 failed, 988 succeeded`: the counts above zero, in words, failures first."""
    order = (Phase.FAILED, Phase.TIMED_OUT, Phase.ABORTED, Phase.RUNNING, Phase.QUEUED, Phase.SUCCEEDED)
    words = [f"{phases[phase]:,} {_WORDS.get(phase, phase.lower())}" for phase in order if phases[phase] > 0]
    return ", ".join(words) or "groups"


def failed(node: Node) -> bool:
    """True for an action that failed or timed out."""
    return node.phase in _FAILURES


def _failures_first(node: Node) -> int:
    return 0 if failed(node) else 1


def _choose(children: list[Node], width: int, first: Callable[[Node], int]) -> list[Node]:
    if len(children) <= width:
        return children
    # The sort is stable, so equals keep their order; what is chosen is then drawn in the order of the calls.
    chosen = sorted(children, key=first)[:width]
    return sorted(chosen, key=lambda node: node.index)
