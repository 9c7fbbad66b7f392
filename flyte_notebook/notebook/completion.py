"""Tab after `%flyte` and `%%flyte`: subcommands, options, their values, and names of runs and environments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from IPython.core.completer import SimpleCompletion, context_matcher

from flyte_notebook.errors import FlyteNotebookError
from flyte_notebook.notebook import cell
from flyte_notebook.notebook.commands import COMMANDS
from flyte_notebook.notebook.options import CELL, Choices, Command

if TYPE_CHECKING:
    from IPython.core.completer import CompletionContext


@context_matcher(identifier="flyte_notebook")  # type: ignore[untyped-decorator]
def matcher(context: CompletionContext) -> dict[str, Any]:
    """IPython's matcher: what may stand at the cursor in a line of ours, and nothing anywhere else."""
    before = context.text_until_cursor
    fragment = "" if before[-1:].isspace() else before.split()[-1] if before.split() else ""
    words = before.removesuffix(fragment).split()
    found = [word for word in candidates(words) if word.startswith(fragment)]
    return {
        "completions": [SimpleCompletion(text=word, type="flyte") for word in found],
        "matched_fragment": fragment,
        "suppress": bool(found),
    }


def candidates(words: list[str]) -> list[str]:
    """What may follow the complete words of a line."""
    match words:
        case ["%%flyte", *rest]:
            return _after(CELL, rest, {"ENV": sorted(cell.environments)})
        case ["%flyte"]:
            return list(COMMANDS)
        case ["%flyte", name, *rest] if name in COMMANDS:
            return _after(COMMANDS[name], rest, {})
    return []


def _after(command: Command, words: list[str], known: dict[str, list[str]]) -> list[str]:
    taken = 0
    pending = None
    for word in words:
        if pending is not None and not word.startswith("-"):
            pending = None
        elif word.startswith("-"):
            pending = next((option for option in command.options if option.name == word and option.value), None)
        else:
            taken += 1
    options = [option.name for option in command.options if option.name not in words]
    if pending is not None:
        return [*pending.choices, *_offered(pending.suggested), *(options if pending.optional else ())]
    if taken >= len(command.arguments):
        return options
    argument = command.arguments[taken]
    return [*known.get(argument.name, ()), *_offered(argument.choices), *options]


def _offered(choices: Choices | None) -> list[str]:
    try:
        return list(choices()) if choices is not None else []
    except FlyteNotebookError:
        # The store cannot be read: the command itself will say so.
        return []
