"""What `%flyte` does: history, recorded trees, cancelling, export, cleaning up."""

from __future__ import annotations

import datetime as dt
import json
import re
import time
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from IPython.core.error import StdinNotImplementedError, UsageError

from flyte_notebook.api import run as handle
from flyte_notebook.engine.runs import live_runs, unwritten
from flyte_notebook.errors import BaseRuntimeError, FlyteNotebookError
from flyte_notebook.notebook import finished
from flyte_notebook.notebook.options import Argument, Command, Option, Words, recent_runs
from flyte_notebook.notebook.text import count
from flyte_notebook.record.housekeeping import SETTLE
from flyte_notebook.record.store import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import pandas as pd
    from IPython.core.interactiveshell import InteractiveShell

    from flyte_notebook.record.housekeeping import Cleaning
    from flyte_notebook.record.model import Run
    from flyte_notebook.record.store import Store

EXECUTORS = "flyte_notebook.executors"
"""Entry-point group of the places where tasks can run, besides this kernel."""


def _backends() -> Iterable[str]:
    return ["kernel", *sorted(entry.name for entry in entry_points(group=EXECUTORS))]


_RUN = Argument("RUN", choices=recent_runs)

COMMANDS: dict[str, Command] = {
    command.name.split()[1]: command
    for command in (
        Command("%flyte runs", "all runs on record, newest first, as a DataFrame"),
        Command("%flyte show", "draw a recorded run again", (_RUN,)),
        Command("%flyte cancel", "stop a run that is going on in this kernel", (_RUN,)),
        Command(
            "%flyte resume",
            "run again what failed, changed or never ran",
            (_RUN,),
            (Option("--keep", "recover every success, also where the code has changed"),),
        ),
        Command("%flyte use", "where tasks run", (Argument("BACKEND", choices=_backends),)),
        Command("%flyte export", "write a run's tree to a file.html or file.json", (Argument("FILE", True), _RUN)),
        Command(
            "%flyte clean",
            "remove old runs, and the values that only they used",
            options=(
                Option("--older-than", "by default 30d", "AGE", (), "7d"),
                Option("--yes", "do not ask first"),
            ),
        ),
        Command("%flyte doctor", "check what flyte_notebook needs here, and say what to do"),
    )
}


def execute(shell: InteractiveShell, line: str) -> Any:
    """Do what `line`, the words after `%flyte`, says.

    Raises:
        UsageError: in one line, what is wrong and what to type.
    """
    name, _, rest = line.strip().partition(" ")
    if not name:
        print(overview())
        return None
    command = COMMANDS.get(name)
    if command is None:
        raise UsageError(f"%flyte {name} does not exist. Type: %flyte {'|'.join(COMMANDS)}")
    words = command.parse(rest)
    try:
        return _ACTIONS[name](shell, words)
    except BaseRuntimeError:
        # A task's failure, while a run is resumed.
        raise
    except FlyteNotebookError as error:
        # About the store or a name, not about code: a traceback would say nothing.
        raise UsageError(str(error)) from None


def overview() -> str:
    """One line for each subcommand."""
    width = max(len(command.usage) for command in COMMANDS.values())
    return "\n".join(f"{command.usage:<{width}}  {command.help}" for command in COMMANDS.values())


def _runs(shell: InteractiveShell, words: Words) -> pd.DataFrame:
    import pandas as pd

    rows = [
        {
            "run": run.name,
            "phase": str(run.phase),
            "actions": run.actions,
            "started": run.started_at,
            "duration": run.ended_at - run.started_at if run.ended_at is not None else None,
            "error": run.error or "",
            "resumed_from": run.resumed_from or "",
            "notebook": run.notebook or "",
        }
        for run in open_store().journal.runs()
    ]
    columns = ["run", "phase", "actions", "started", "duration", "error", "resumed_from", "notebook"]
    frame = pd.DataFrame(rows, columns=columns)
    return frame.set_index("run")


def _show(shell: InteractiveShell, words: Words) -> None:
    store = open_store()
    run = _chosen(words)
    finished.show(shell, finished.recorded_tree(store, run.name), store)


def _cancel(shell: InteractiveShell, words: Words) -> None:
    name = words.positional()
    going_on = [run for run in tuple(live_runs.values()) if not run.phase.terminal]
    if not any(run.name.startswith(name or "") for run in going_on):
        _must_be_written(name)
    if name is None and not going_on:
        raise UsageError("no run is going on in this kernel")
    # Of the many runs on record with this beginning, only those that go on can be meant.
    meant = [run for run in going_on if run.name.startswith(name or "")]
    run = meant[-1] if name is None or len(meant) == 1 else live_runs.get(_chosen(words).name)
    if run is None:
        raise UsageError(f"{name} is not going on in this kernel. {_going_on()}")
    run.cancel()
    print(f"{run.name} is being cancelled")


def _going_on() -> str:
    names = [run.name for run in tuple(live_runs.values()) if not run.phase.terminal]
    return f"Going on here: {', '.join(names)}." if names else "No run is."


def _must_be_written(name: str | None) -> None:
    """Raises UsageError for a run that has ended, and is not on record yet, or not as ended."""
    for run in unwritten():
        if run.name.startswith(name or ""):
            raise UsageError(run.ending.explained())


def _resume(shell: InteractiveShell, words: Words) -> Any:
    run = handle.Run(_chosen(words).name, open_store())
    return run.resume(keep="--keep" in words.switches)


def _use(shell: InteractiveShell, words: Words) -> None:
    name = words.positional()
    if name not in (None, "kernel"):
        raise UsageError(f"tasks run in this kernel only; there is no backend {name!r}. Type: %flyte use kernel")
    print("Tasks run in this kernel.")


def _export(shell: InteractiveShell, words: Words) -> None:
    path = Path(words.positionals[0]).expanduser()
    if path.suffix not in (".html", ".json"):
        raise UsageError(f"export writes .html or .json, as in: %flyte export {path.stem or 'run'}.html")
    store = open_store()
    run = _chosen(words, 1)
    bundle = finished.mime_bundle(finished.recorded_tree(store, run.name), store)
    text = _document(run.name, bundle["text/html"]) if path.suffix == ".html" else _json(bundle)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None
    print(f"{run.name} is in {path}")


def _document(title: str, fragment: str) -> str:
    from html import escape

    return f'<!doctype html>\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n{fragment}\n'


def _json(bundle: dict[str, Any]) -> str:
    from flyte_notebook.notebook.saved import MIME

    return json.dumps(bundle[MIME], ensure_ascii=False, indent=1, default=str) + "\n"


def _clean(shell: InteractiveShell, words: Words) -> None:
    age = words.values.get("--older-than", "30d")
    store = open_store()
    planned = _planned(store, _age(age))
    left = planned.left
    print(
        f"{count(len(planned.runs), 'run')} of more than {age} ago and {count(planned.blobs, 'value')} can go: "
        f"{_megabytes(planned.bytes)}.\n{count(left.runs, 'run')} would stay: {_megabytes(left.values)} of values, "
        f"{_megabytes(left.files)} of files, a journal of {_megabytes(left.journal)}."
    )
    if planned.held:
        in_use = f"once the run in progress has ended, or in {planned.grace / 60:.0f} minutes"
        print(f"{_megabytes(planned.held)} more can go {in_use if planned.busy else 'in a few seconds'}.")
    if not (planned.runs or planned.bytes) or not (
        "--yes" in words.switches or _agreed(f"%flyte clean --older-than {age} --yes")
    ):
        print("Nothing was removed.")
        return
    cleaned = store.clean(planned)
    stayed = planned.bytes - cleaned.bytes
    print(
        f"{count(len(cleaned.runs), 'run')} removed, {_megabytes(cleaned.bytes)} freed."
        + (f" {_megabytes(stayed)} came into use meanwhile, and stayed." if stayed else "")
    )


def _planned(store: Store, older_than: dt.timedelta) -> Cleaning:
    """What goes; where no run is in progress, with what was used a moment ago."""
    planned = store.plan_cleaning(older_than)
    if planned.held and not planned.going:
        time.sleep(SETTLE)
        planned = store.plan_cleaning(older_than)
    return planned


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def _agreed(instead: str) -> bool:
    """The reader's answer.

    Raises:
        UsageError: nobody can be asked here: a notebook run as a whole, a front end without input.
    """
    try:
        return input("Remove them? [y/N] ").strip().lower() in ("y", "yes")
    except (StdinNotImplementedError, EOFError, OSError):
        raise UsageError(f"nothing was removed, as nobody can be asked here. Type: {instead}") from None


def _age(text: str) -> dt.timedelta:
    match = re.fullmatch(r"(\d+)([mhdw])", text)
    if match is None:
        raise UsageError(f"an age is a number and m, h, d or w, not {text!r}. Type: %flyte clean --older-than 7d")
    unit = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}[match[2]]
    try:
        return dt.timedelta(**{unit: int(match[1])})
    except OverflowError:
        raise UsageError(f"{text} is too long ago. Type: %flyte clean --older-than 7d") from None


def _doctor(shell: InteractiveShell, words: Words) -> None:
    from flyte_notebook.notebook.doctor import report

    print(report(shell))


def _chosen(words: Words, index: int = 0) -> Run:
    """The run that is named, by any unique prefix, or the last one.

    Raises:
        UsageError: nothing is on record.
        RunNotFoundError: no run, or several, have this prefix; names candidates.
    """
    journal = open_store().journal
    name = words.positional(index)
    _must_be_written(name)
    if name is not None:
        return journal.find(name)
    latest = journal.runs(1)
    if not latest:
        raise UsageError("no run is on record yet")
    return latest[0]


_ACTIONS: dict[str, Callable[[InteractiveShell, Words], Any]] = {
    "runs": _runs,
    "show": _show,
    "cancel": _cancel,
    "resume": _resume,
    "use": _use,
    "export": _export,
    "clean": _clean,
    "doctor": _doctor,
}
