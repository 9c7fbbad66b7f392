"""What the run that just ended has on record, as JSON; the programs under test import this file by its own name."""

from __future__ import annotations

import json
from typing import Any

import flyte_notebook


def observed(value: Any) -> str:
    """`value`, how many runs there are, and the newest run's actions in order of start, indented under their callers."""
    runs = flyte_notebook.runs()
    actions = runs[0].actions()
    depth = {None: -1}
    lines = []
    for action in actions:
        depth[action.id] = depth[action.parent_id] + 1
        line = f"{'  ' * depth[action.id]}{action.short_name}: {action.task_name}"
        line += f" in {action.group}" if action.group else ""
        ordinary = (action.phase, action.attempts, action.error) == ("SUCCEEDED", 1, None)
        lines.append(line if ordinary else f"{line} {action.phase} {action.attempts} {action.error}")
    return json.dumps({"value": value, "runs": len(runs), "phase": runs[0].phase, "actions": lines})
