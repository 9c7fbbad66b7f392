"""The words after `%%flyte` and `%flyte`: declared once, parsed, completed and explained from the same table.

Whatever is wrong with them is said in one line that shows what to type.
"""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import get_args

from IPython.core.error import UsageError

from flyte_notebook.api.behavior import CacheBehavior
from flyte_notebook.record.store import open_store

Choices = Callable[[], Iterable[str]]


@dataclass(frozen=True)
class Option:
    """One `--name`, a switch unless `value` says what follows it."""

    name: str
    help: str
    value: str | None = None
    """How the value is called in help, such as `IMAGE`."""
    choices: tuple[str, ...] = ()
    """The values accepted; empty: any."""
    example: str = ""
    optional: bool = False
    """True when the value may be left out; it is "" then."""
    suggested: Choices | None = None
    """What Tab offers as the value; not a restriction."""

    @property
    def usage(self) -> str:
        """`[--cache auto|disable]`, `[--resume [RUN]]`."""
        shown = "|".join(self.choices) or self.value
        shown = f"[{shown}]" if self.optional else shown
        return f"[{self.name} {shown}]" if self.value else f"[{self.name}]"


@dataclass(frozen=True)
class Argument:
    """One positional word."""

    name: str
    required: bool = False
    choices: Choices | None = None
    """What Tab offers; not a restriction."""

    @property
    def usage(self) -> str:
        """`[RUN]`, or `FILE` when it must be there."""
        return self.name if self.required else f"[{self.name}]"


@dataclass(frozen=True)
class Command:
    """What may follow one magic or subcommand."""

    name: str
    help: str
    arguments: tuple[Argument, ...] = ()
    options: tuple[Option, ...] = ()

    @property
    def usage(self) -> str:
        """The whole line to type."""
        parts = [self.name, *(a.usage for a in self.arguments), *(o.usage for o in self.options)]
        return " ".join(parts)

    def parse(self, line: str) -> Words:
        """`line`, the text after the name, as words.

        Raises:
            UsageError: one line that says what is wrong and what to type.
        """
        words = _split(line, self)
        positionals: list[str] = []
        values: dict[str, str] = {}
        switches: set[str] = set()
        while words:
            word = words.pop(0)
            if not word.startswith("-"):
                positionals.append(word)
                continue
            name, equals, value = word.partition("=")
            option = self._option(name)
            if option.value is None:
                if equals:
                    raise UsageError(f"{name} takes no value. Type: {self.usage}")
                switches.add(name)
            elif option.optional:
                values[name] = value if equals else words.pop(0) if words and not words[0].startswith("-") else ""
            else:
                values[name] = self._checked(option, value if equals else words.pop(0) if words else "")
        self._count(positionals)
        return Words(tuple(positionals), values, frozenset(switches))

    def _option(self, name: str) -> Option:
        for option in self.options:
            if option.name == name:
                return option
        close = difflib.get_close_matches(name, [option.name for option in self.options], 1, 0.5)
        meant = f" (did you mean {close[0]}?)" if close else ""
        raise UsageError(f"{self.name} has no option {name}{meant}. Type: {self.usage}")

    def _checked(self, option: Option, value: str) -> str:
        if not value or value.startswith("--"):
            raise UsageError(f"{option.name} needs a value, as in: {self.name} {option.name} {option.example}")
        if option.choices and value not in option.choices:
            raise UsageError(f"{option.name} is one of {', '.join(option.choices)}, not {value!r}")
        return value

    def _count(self, positionals: Sequence[str]) -> None:
        required = [argument.name for argument in self.arguments if argument.required]
        if len(positionals) < len(required):
            raise UsageError(f"{self.name} needs {required[len(positionals)]}. Type: {self.usage}")
        if len(positionals) > len(self.arguments):
            extra = " ".join(positionals[len(self.arguments) :])
            raise UsageError(f"{self.name} does not know what to do with {extra!r}. Type: {self.usage}")


@dataclass(frozen=True)
class Words:
    """A parsed line."""

    positionals: tuple[str, ...] = ()
    values: dict[str, str] = field(default_factory=dict)
    switches: frozenset[str] = frozenset()

    def positional(self, index: int = 0) -> str | None:
        """The positional word at `index`, or None."""
        return self.positionals[index] if index < len(self.positionals) else None


def _split(line: str, command: Command) -> list[str]:
    try:
        return shlex.split(line, comments=True)
    except ValueError:
        raise UsageError(f"a quote is not closed in: {command.name} {line.strip()}") from None


def recent_runs() -> Iterable[str]:
    """Names for Tab, the newest first."""
    return [run.name for run in open_store().journal.runs(50)]


CELL = Command(
    "%%flyte",
    "Run the cell's tasks as a run.",
    (Argument("ENV"),),
    (
        Option("--image", "the image that the environment declares for a cluster", "IMAGE", (), "ghcr.io/me/train:1"),
        Option(
            "--cache", "what tasks do that declare no cache themselves", "BEHAVIOR", get_args(CacheBehavior), "auto"
        ),
        Option(
            "--resume",
            "recover what an earlier run of the cell, or RUN, has on record as succeeded and unchanged",
            "RUN",
            optional=True,
            suggested=recent_runs,
        ),
        Option("--keep", "with --resume: recover every success, also where the code has changed"),
        Option("--hide", "keep what tasks print out of the cell; it stays on record"),
    ),
)
