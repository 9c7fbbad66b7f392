"""A finished tree as text and as HTML for places that run no code: saved notebooks, GitHub, terminals, nbconvert.

The text is deterministic: no durations, and no generated names but that of a run which is resumed. The HTML is plain
tables and `<details>`, with every value escaped, so that it survives sanitisers that strip scripts and styles.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape
from typing import Any

from flyte_notebook.notebook.outline import Line, Outline, failed, tally
from flyte_notebook.notebook.text import clip, count, duration
from flyte_notebook.notebook.tree import Node, Tree
from flyte_notebook.record.model import Phase

Details = Mapping[int, Mapping[str, Any]]

_LEFT = 'align="left" style="text-align:left"'
"""JupyterLab's own style sheet aligns cells to the right over `align`; GitHub drops styles and keeps `align`."""
_SLUG = re.compile(r"[^A-Za-z0-9_.]+")


def text(tree: Tree, outline: Outline | None = None) -> str:
    """The tree as lines of text, the same for every run that does the same."""
    outline = outline or Outline(tree.nodes)
    lines = [title(tree, outline)]
    if tree.error and not any(node.error for node in tree.nodes):
        lines.append(tree.error)
    lines += [line.stem + _label(tree, outline, line) for line in outline.lines(width=10, depth=24, total=100)]
    return "\n".join(lines)


def title(tree: Tree, outline: Outline) -> str:
    """`main · SUCCEEDED · 7 actions`: the run without the generated part of its name."""
    return " · ".join([stable_name(tree), tree.phase, summary(tree, outline), *lineage(tree)])


def lineage(tree: Tree) -> list[str]:
    """`resumes main-abc123` and `730 recovered`; nothing for a run that began afresh."""
    if tree.resumed_from is None:
        return []
    return [f"resumes {clip(tree.resumed_from, 120)}", f"{tree.recovered:,} recovered"]


def summary(tree: Tree, outline: Outline) -> str:
    """`7 actions`, with the counts when not all of them succeeded."""
    phases = outline.counts()
    actions = count(tree.total, "action")
    return actions if phases[Phase.SUCCEEDED] == tree.total else f"{actions}: {tally(phases)}"


def stable_name(tree: Tree) -> str:
    """The name of the run without the six characters that make it unique."""
    stem, _, unique = tree.run.rpartition("-")
    first = next((node.name for node in tree.nodes if node.id is not None), "")
    generated = len(unique) == 6 and stem != "" and stem == _SLUG.sub("-", first).strip("-.")
    return clip(first, 48) if generated else tree.run


def marks(node: Node) -> list[str]:
    """What sets an action apart: `cached`, `3 attempts`, …"""
    found = ["trace"] if node.kind == "trace" else []
    found += ["cached"] if node.cached else []
    found += ["recovered"] if node.recovered else []
    found += [f"{node.attempts} attempts"] if node.attempts > 1 else []
    return found


def _label(tree: Tree, outline: Outline, line: Line) -> str:
    node = line.node
    if node is None:
        return line.more
    if node.id is None:
        return f"{clip(node.name, 48)} · {outline.progress(node)}"
    label = clip(node.name, 48)
    if noted := marks(node):
        label += f" [{', '.join(noted)}]"
    if node.phase is Phase.SUCCEEDED:
        value = tree.value(node)
        # Every task has an output; that of one which returns nothing says nothing.
        label += f" = {value}" if value not in (None, "None") else ""
    else:
        label += f" {node.phase}"
        label += f" {trouble(node)}" if node.error else ""
    return f"{label} ({clip(node.hint, 80)})" if node.hint else label


def trouble(node: Node) -> str:
    """`ValueError: bad row 7 (line 12)`, or nothing."""
    if node.error is None:
        return ""
    return clip(node.error, 100) + (f" (line {node.line})" if node.line is not None else "")


def html(tree: Tree, details: Details | None = None, outline: Outline | None = None) -> str:
    """The tree as an HTML fragment without scripts and styles. `details` (by node index) adds the tracebacks."""
    outline = outline or Outline(tree.nodes)
    head = f"<b>{_text(tree.run)}</b> · {tree.phase} · {_text(summary(tree, outline))}"
    if tree.started is not None and tree.ended is not None:
        head += f" · {duration((tree.ended - tree.started) * 1000)}"
    head += "".join(f" · {_text(part)}" for part in lineage(tree))
    if tree.error and not any(node.error for node in tree.nodes):
        head += f" · {_text(tree.error)}"
    parts = [f"<details open><summary>{head}</summary>", "<table><thead><tr>"]
    parts += [f"<th {_LEFT}>{column}</th>" for column in ("action", "phase", "time", "result")]
    parts.append("</tr></thead><tbody>")
    parts += [_row(tree, outline, line) for line in outline.lines(width=40, depth=24, total=300)]
    parts.append("</tbody></table>")
    parts += _tracebacks(tree, details or {})
    parts.append("</details>")
    return "\n".join(parts)


def _row(tree: Tree, outline: Outline, line: Line) -> str:
    indent = "&nbsp;&nbsp;&nbsp;&nbsp;" * line.depth
    node = line.node
    if node is None:
        return f'<tr><td {_LEFT} colspan="4">{indent}<i>{_text(line.more)}</i></td></tr>'
    if node.id is None:
        name = f"{_text(clip(node.name, 48))} · {outline.progress(node)}"
        return f'<tr><td {_LEFT} colspan="4">{indent}<i>{name}</i></td></tr>'
    spent = duration((node.end - node.begin) * 1000) if node.begin is not None and node.end is not None else ""
    value = tree.value(node)
    result = f"<code>{_text(value)}</code>" if value is not None else _text(trouble(node))
    if node.hint:
        result += f" <i>{_text(clip(node.hint, 80))}</i>"
    # The header names the run that this one resumes.
    source = [f"from {_text(clip(node.source, 120))}"] if node.source and node.source != tree.resumed_from else []
    phase = " · ".join([str(node.phase), *marks(node), *source])
    cells = (f"{indent}{_text(clip(node.name, 48))}", phase, spent, result)
    return "<tr>" + "".join(f"<td {_LEFT}>{cell}</td>" for cell in cells) + "</tr>"


def _tracebacks(tree: Tree, details: Details) -> list[str]:
    parts = []
    for node in filter(failed, tree.nodes):
        error = details.get(node.index, {}).get("error")
        if error and error.get("traceback"):
            name = f"{clip(node.name, 48)}: {trouble(node)}"
            parts.append(f"<details><summary>{_text(name)}</summary><pre>{_text(error['traceback'])}</pre></details>")
        if len(parts) == 5:
            break
    return parts


def _text(value: str) -> str:
    return escape("".join(c if c.isprintable() or c in "\n\t" else " " for c in value))
