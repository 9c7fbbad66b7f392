"""IPython in this process: what a cell returned, printed, displayed and complained about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output


@dataclass
class Outcome:
    """What came of one cell."""

    result: Any
    error: BaseException | None
    printed: str
    complained: str


class Shell:
    """Runs cells and keeps what they did apart."""

    def __init__(self, instance: InteractiveShell) -> None:
        self.instance = instance
        self.names = instance.user_ns

    def run(self, code: str) -> Outcome:
        with capture_output(display=False) as captured:
            done = self.instance.run_cell(code, store_history=True)
        return Outcome(done.result, done.error_before_exec or done.error_in_exec, captured.stdout, captured.stderr)

    def ok(self, code: str) -> Outcome:
        outcome = self.run(code)
        assert outcome.error is None, (outcome.printed, outcome.complained)
        return outcome

    def result(self, code: str) -> Any:
        return self.ok(code).result

    def complaint(self, code: str) -> str:
        """The one line that a wrong magic line is answered with."""
        outcome = self.run(code)
        assert type(outcome.error).__name__ == "UsageError", outcome
        lines = outcome.complained.splitlines()
        assert len(lines) == 1, lines
        return lines[0].removeprefix("UsageError: ")
