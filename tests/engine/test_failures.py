"""What is on record of a failure."""

from __future__ import annotations

import json
from email.message import Message
from urllib.error import HTTPError

import pytest

import flyte_notebook as flyte
from flyte_notebook import errors
from flyte_notebook.engine import failures
from flyte_notebook.record.store import open_store

env = flyte.TaskEnvironment("failures")


@env.task
def parse(text: str) -> int:
    return json.loads(text)["n"]


def test_the_line_of_a_failure_in_a_library_is_the_users_line_that_called_it():
    with pytest.raises(errors.RuntimeUserError):
        flyte.run(parse, "{")
    (run,) = flyte.runs()
    error = open_store().journal.error(run.name, run.action.id)
    assert error.line == parse.func.__code__.co_firstlineno + 2
    assert "json/decoder.py" in error.traceback


@env.task
async def raises(name: str) -> int:
    raise {"exit": SystemExit(3), "http": HTTPError("http://localhost", 404, "gone", Message(), None)}[name]


@pytest.mark.parametrize(("name", "code"), [("exit", "SystemExit"), ("http", "HTTPError")])
def test_the_code_of_a_failure_is_its_class_also_where_the_exception_has_a_code_of_its_own(name, code):
    with pytest.raises(errors.RuntimeUserError) as caught:
        flyte.run(raises, name)
    assert caught.value.code == code
    (run,) = flyte.runs()
    assert open_store().journal.error(run.name, run.action.id).code == code


LONG = 2_000_000


@env.task
async def shout(how: str) -> int:
    match how:
        case "line":
            raise ValueError("x" * LONG)
        case "lines":
            raise ValueError("begins\n" + "some row\n" * (LONG // 9) + "ends")
        case "notes":
            error = ValueError("short")
            error.add_note("y" * LONG)
            raise error
        case _:
            raise ExceptionGroup("many", [ValueError("z" * 10_000) for _ in range(LONG // 10_000)])


@pytest.mark.parametrize("how", ["line", "lines", "notes", "group"])
def test_what_is_recorded_of_a_failure_is_bounded_and_still_says_where_and_what(how):
    with pytest.raises(errors.RuntimeUserError) as caught:
        flyte.run(shout, how)
    (run,) = flyte.runs()
    error = open_store().journal.error(run.name, run.action.id)
    assert len(error.message) <= failures.MESSAGE
    assert len(error.traceback) <= failures.TRACEBACK
    assert "in shout" in error.traceback
    assert error.message[:5] == str(caught.value)[:5]
    assert error.message[-4:] == str(caught.value)[-4:]
    assert len(error.summary) <= 500
    assert error.summary.startswith(f"{type(caught.value.__cause__).__name__}: {error.message[:5]}")
