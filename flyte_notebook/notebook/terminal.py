"""The tree of a run in a terminal: live below what the cell prints, and whole once it has ended."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from flyte_notebook.notebook.outline import Line, Outline, failed
from flyte_notebook.notebook.screen import screen
from flyte_notebook.notebook.static import lineage, marks, summary, trouble
from flyte_notebook.notebook.text import clip, duration
from flyte_notebook.record import events
from flyte_notebook.record.model import Phase

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from flyte_notebook.notebook.tree import Node, Tree

_ICONS = {
    Phase.QUEUED: ("○", "dim"),
    Phase.RUNNING: ("◐", "cyan"),
    Phase.SUCCEEDED: ("✓", "green"),
    Phase.FAILED: ("✗", "bold red"),
    Phase.ABORTED: ("■", "yellow"),
    Phase.TIMED_OUT: ("✗", "bold red"),
}
_DUTY = 0.05
"""Largest share of the time spent on drawing."""


class TerminalView:
    """Draws one tree while the run lasts."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._drawn: RenderableType = ""
        self._again = 0.0

    def start(self) -> None:
        """Begin to draw."""
        screen.show(self._draw)

    def replace(self, show_finished: Callable[[], None]) -> None:
        """Print the finished tree in place of the drawing."""
        self.close()
        show_finished()

    def close(self) -> None:
        """Take the drawing away."""
        screen.hide(self._draw)

    def _draw(self) -> RenderableType:
        from rich.constrain import Constrain

        if time.perf_counter() >= self._again:
            began = time.thread_time()
            columns, lines = shutil.get_terminal_size()
            height = max(lines - 6, 4)
            tree = drawing(self._tree, width=max(height // 2, 3), depth=12, total=height, first=_urgent_first)
            # The terminal echoes ^C behind the last line: where that makes a new line, the next drawing is off by one.
            self._drawn = Constrain(tree, columns - 3)
            self._again = time.perf_counter() + (time.thread_time() - began) / _DUTY
        return self._drawn


def print_tree(tree: Tree) -> None:
    """Print the whole tree where the cell prints."""
    from rich.console import Console

    Console(file=sys.stdout).print(drawing(tree, width=20, depth=24, total=100))


def drawing(
    tree: Tree, *, width: int, depth: int, total: int, first: Callable[[Node], int] | None = None
) -> RenderableType:
    """The tree as rich draws it: a title, and a line for each action with its time and its result."""
    from rich.console import Group
    from rich.table import Table

    outline = Outline(tree.nodes)
    table = Table.grid(padding=(0, 2), expand=True)
    table.add_column(no_wrap=True, overflow="ellipsis")
    table.add_column(no_wrap=True, justify="right", min_width=7)
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    now = tree.ended or events.now()
    for line in outline.lines(width=width, depth=depth, total=total, first=first):
        table.add_row(*_cells(tree, outline, line, now))
    return Group(_title(tree, outline, now), table)


def _title(tree: Tree, outline: Outline, now: float) -> Text:
    from rich.text import Text

    _, style = _ICONS[tree.phase]
    title = Text(no_wrap=True, overflow="ellipsis")
    title.append(tree.run, "bold").append(" · ").append(str(tree.phase), style)
    title.append(f" · {summary(tree, outline)} · {duration((now - (tree.started or now)) * 1000)}")
    title.append("".join(f" · {part}" for part in lineage(tree)), "dim")
    if tree.ended is None:
        title.append("  Ctrl-C cancels", "dim")
    elif tree.error and not any(node.error for node in tree.nodes):
        title.append(f" · {tree.error}", "red")
    return title


def _cells(tree: Tree, outline: Outline, line: Line, now: float) -> tuple[Text, Text, Text]:
    from rich.text import Text

    node = line.node
    label = Text(line.stem, "dim")
    if node is None:
        return label.append(line.more, "dim"), Text(), Text()
    if node.phase is None:
        return label.append(f"{clip(node.name, 48)} · {outline.progress(node)}", "italic"), Text(), Text()
    icon, style = _ICONS[node.phase]
    label.append(f"{icon} ", style).append(clip(node.name, 48), "default")
    if noted := marks(node):
        label.append(f" {', '.join(noted)}", "dim")
    spent = duration(((node.end or now) - node.begin) * 1000) if node.begin is not None else ""
    return label, Text(spent, "dim"), _result(tree, node)


def _result(tree: Tree, node: Node) -> Text:
    from rich.text import Text

    if node.error is not None:
        result = Text(trouble(node), "red" if failed(node) else "yellow")
    else:
        value = tree.value(node)
        result = Text("" if value in (None, "None") else value)
    return result.append(f" {clip(node.hint, 80)}", "yellow") if node.hint else result


def _urgent_first(node: Node) -> int:
    if failed(node):
        return 0
    return {Phase.RUNNING: 1, Phase.QUEUED: 3}.get(node.phase or Phase.RUNNING, 2)
