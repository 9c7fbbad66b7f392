"""A finished tree as the JSON that is saved in the notebook and drawn again by the JupyterLab extension. Bounded."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from flyte_notebook.notebook.detail import Detail, without_report
from flyte_notebook.notebook.outline import Outline, failed
from flyte_notebook.notebook.tree import Node, Row, Tree

MIME = "application/vnd.flyte-notebook.run.v1+json"
VERSION = 1
MAX_ROWS = 1000
MAX_DETAILS = 100
MAX_DETAIL_BYTES = 256 * 1024


def run_bundle(tree: Tree, details: dict[int, Detail], outline: Outline | None = None) -> dict[str, Any]:
    """The saved form of `tree`; `details` by node index.

    Rows are numbered anew in the order in which they are drawn, so that the same run gives the same rows.
    """
    header = tree.header(tree.ended or tree.started or 0.0, live=False)
    del header["started"]
    outline = outline or Outline(tree.nodes)
    kept = _keep(outline)
    numbers: dict[int, int] = {}
    rows: list[Row] = []
    for node in outline.depth_first():
        if node.index not in kept:
            continue
        row = tree.row(node)
        row["i"] = numbers[node.index] = len(rows)
        if node.parent is not None:
            row["p"] = numbers[node.parent.index]
        if any(child.index not in kept for child in outline.children(node)):
            row["g"] = _by_phase(outline, node)
        rows.append(row)
    if len(rows) < len(tree.nodes):
        header["counts"] = _by_phase(outline, None)
    return {
        "version": VERSION,
        "run": header,
        "rows": rows,
        "details": {str(numbers[index]): detail for index, detail in details.items() if index in numbers},
        "truncated": len(tree.nodes) - len(rows),
    }


def _by_phase(outline: Outline, node: Node | None) -> dict[str, int]:
    """What the browser cannot count, because not all rows are there."""
    return {str(phase): number for phase, number in outline.counts(node).items()}


def detailed(tree: Tree) -> list[Node]:
    """The actions whose details are saved, failures first. Of a huge run only failures: reading it takes its time."""
    actions = [node for node in tree.nodes if node.id is not None]
    failures = [node for node in actions if failed(node)]
    others = [node for node in actions if not failed(node)] if len(actions) <= MAX_ROWS else []
    return (failures + others)[:MAX_DETAILS]


def fitting(details: Iterable[tuple[int, Detail]]) -> dict[int, Detail]:
    """As many of the `details` as `MAX_DETAIL_BYTES` allow, some without their report."""
    chosen: dict[int, Detail] = {}
    room = MAX_DETAIL_BYTES
    for index, whole in details:
        for detail in (whole, without_report(whole)):
            size = len(json.dumps(detail, ensure_ascii=False, default=str).encode("utf-8", "replace"))
            if size <= room:
                room -= size
                chosen[index] = detail
                break
    return chosen


def _keep(outline: Outline) -> set[int]:
    """Indices of the nodes that are saved: failures with all that lies above them, then level by level from the top."""
    if len(outline.nodes) <= MAX_ROWS:
        return {node.index for node in outline.nodes}
    kept: set[int] = set()
    for node in filter(failed, outline.nodes):
        path = _new_ancestors(node, kept)
        if len(kept) + len(path) > MAX_ROWS // 2:
            break
        kept.update(path)
    level = list(outline.roots)
    while level:
        for node in level:
            if len(kept) == MAX_ROWS:
                return kept
            if node.parent is None or node.parent.index in kept:
                kept.add(node.index)
        level = [child for node in level for child in outline.children(node)]
    return kept


def _new_ancestors(node: Node, kept: set[int]) -> list[int]:
    path = []
    above: Node | None = node
    while above is not None and above.index not in kept:
        path.append(above.index)
        above = above.parent
    return path
