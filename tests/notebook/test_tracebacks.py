"""Errors of a cell: at the cell's own lines, with its own text, and nothing of the engine."""

from __future__ import annotations

import pytest

from tests.notebook.shells import Shell

FAILING = """%%flyte my-env
@env.task
async def inner(x: int) -> float:
    y = x
    return y / 0

@env.task
async def main(x: int) -> float:
    return await inner(x)
"""


def printed_by(shell: Shell, code: str) -> list[str]:
    outcome = shell.run(code)
    assert outcome.error is not None
    return [line.rstrip() for line in outcome.printed.splitlines()]


@pytest.mark.parametrize(
    ("code", "line"),
    [
        ("%%flyte\n1/0", 2),
        ("%%flyte my-env --hide\n\n\n1/0", 4),
        ("\n\n%%flyte\n\n1/0", 5),
        ("   %%flyte\n   x = 1\n   1/0", 3),
        ("%%flyte\nfrom __future__ import annotations\n1/0", 3),
        ("%%flyte\n%xmode Context\n1/0", 3),
    ],
)
def test_an_error_points_at_the_line_as_it_was_typed(shell: Shell, code: str, line: int) -> None:
    printed = printed_by(shell, code)
    assert any(text.startswith(f"----> {line} ") and "1/0" in text for text in printed), printed


@pytest.mark.parametrize(("body", "line"), [("1/0", 2), ("\n\n1/0", 4), ("%xmode Context\n1/0", 3)])
def test_so_does_one_in_a_nested_cell(shell: Shell, body: str, line: int) -> None:
    printed = printed_by(shell, f"get_ipython().run_cell_magic('flyte', 'my-env', {body!r})")
    assert any(text.startswith(f"----> {line} ") and "1/0" in text for text in printed), printed
    assert not any("flyte_notebook/" in text for text in printed)


def test_the_first_line_is_shown_as_a_comment_and_no_machinery_is_seen(shell: Shell) -> None:
    printed = "\n".join(printed_by(shell, "%%flyte my-env\n1/0"))
    assert "# %%flyte my-env" in printed
    assert "__flyte_cell__" not in printed
    assert "flyte_notebook" not in printed


def test_a_failing_task_shows_the_cells_and_the_tasks_own_frames_only(shell: Shell) -> None:
    shell.ok(FAILING)
    printed = printed_by(shell, "%%flyte\nz = 1\nawait main(z)")
    text = "\n".join(printed)
    assert "----> 3 await main(z)" in printed
    assert "return await inner(x)" in text
    assert "----> 5 return y / 0" in text
    assert "ZeroDivisionError: division by zero" in text
    assert "RuntimeUserError: division by zero" in text
    assert "skipping hidden" not in text
    assert "flyte_notebook/" not in text
    assert "asyncio" not in text


def test_a_plain_cell_that_runs_a_task_shows_no_machinery_either(shell: Shell) -> None:
    shell.ok(FAILING)
    text = "\n".join(printed_by(shell, "flyte.run(main, x=1)"))
    assert "----> 1 flyte.run(main, x=1)" in text
    assert "----> 5 return y / 0" in text
    assert "flyte_notebook/" not in text
    assert "skipping hidden" not in text


def test_tracebacks_of_other_code_are_left_alone(shell: Shell) -> None:
    text = "\n".join(printed_by(shell, "import json\njson.loads('{')"))
    assert "json/decoder.py" in text


@pytest.mark.parametrize(
    ("body", "line", "message"),
    [
        ("x = 1\nif 1\n    2", 3, "expected ':'"),
        ("x = 1\n  y = 2", 3, "unexpected indent"),
        ("x = 1\n\nreturn 5", 4, "'return' outside function"),
        ("def f():\n    nonlocal q", 3, "no binding for nonlocal 'q' found"),
        ("x = (1,\n", 2, "incomplete input"),
        ("'\\ud800'.encode(); x = ?", 2, "invalid syntax"),
    ],
)
def test_a_syntax_error_names_the_line_of_the_cell(shell: Shell, body: str, line: int, message: str) -> None:
    error = shell.run(f"%%flyte\n{body}").error
    assert isinstance(error, SyntaxError)
    assert (error.lineno, error.msg) == (line, message)


def test_a_cell_with_a_syntax_error_runs_nothing_and_binds_nothing(shell: Shell) -> None:
    shell.run("%%flyte other\nz = 1\nif 1")
    assert "z" not in shell.names
    assert "env" not in shell.names


def test_errors_that_tasks_raise_in_strange_ways_reach_the_reader(shell: Shell) -> None:
    shell.ok(
        """%%flyte
@env.task
async def stop() -> int:
    raise StopIteration("enough")
@env.task
async def leave() -> int:
    raise SystemExit(3)
@env.task
async def interrupt() -> int:
    raise KeyboardInterrupt
"""
    )
    for name, shown in (("stop", "enough"), ("leave", "3"), ("interrupt", "KeyboardInterrupt")):
        outcome = shell.run(f"%%flyte\nawait {name}()")
        assert outcome.error is not None
        assert shown in outcome.printed
        assert shell.result("%%flyte\n1 + 1") == 2
