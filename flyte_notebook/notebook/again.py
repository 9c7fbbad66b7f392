"""`run.resume()` of a cell's run, and `%flyte resume`: the cell is run once more, from wherever that is asked."""

from __future__ import annotations

from secrets import token_hex
from typing import TYPE_CHECKING

from flyte_notebook.api.resume import needs, undefined
from flyte_notebook.engine.recovery import must_be_over
from flyte_notebook.engine.settings import Origin
from flyte_notebook.errors import ResumeError
from flyte_notebook.notebook import cell, sources
from flyte_notebook.notebook.options import CELL

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from flyte_notebook.api.run import Run


async def run_again(shell: InteractiveShell, run: Run, keep: bool) -> Run:
    """Run the cell of `run` once more, with the text that `source_of` tells; the new run.

    Raises:
        ResumeError: it still runs; or that would bind names that this kernel has bound anew, or tasks that it calls are
            not defined.
    """
    must_be_over(run.record)
    source = source_of(shell, run)
    first, _, body = source.lstrip().partition("\n")
    line = f"{plain_options(first)} --resume {run.name}{' --keep' if keep else ''}".strip()
    record = run.record
    new = await cell.run_again(shell, line, body, Origin(record.notebook, record.cell_id, source, token_hex(8)))
    if new is None:
        raise ResumeError(f"the cell of {run.name} calls no task any more")
    return new


def source_of(shell: InteractiveShell, run: Run) -> str:
    """What is run to resume the cell of `run`: its newest text in this kernel, else the recorded one.

    The recorded one also where the front end gave the cell no id: a later text might be another cell's.

    Raises:
        ResumeError: it would bind names that this kernel has bound anew, or tasks that it calls are not defined.
    """
    record = run.record
    assert record.source is not None
    ran = sources.newest(record.cell_id, record.source)
    # Without an id it is the same text, and the options beside it are those of another run.
    source = ran.source if ran is not None and record.cell_id is not None else record.source
    taken = sources.rebound(shell, source, ran)
    if taken:
        raise ResumeError(
            f"running the cell of {run.name} again would bind {', '.join(taken)}, which this kernel has bound since: "
            f"type %%flyte --resume {run.name} in the cell that is to run"
        )
    missing = undefined(run.store, run.name, sources.missed_names(shell, source))
    if missing:
        raise ResumeError(needs(run.name, missing))
    return source


def plain_options(first: str) -> str:
    """The options of a `%%flyte` line without those about resuming."""
    words = CELL.parse(first.partition("%%flyte")[2])
    options = [f"{name} {value!r}" for name, value in words.values.items() if name != "--resume"]
    return " ".join([*words.positionals, *options, *sorted(words.switches - {"--keep"})])
