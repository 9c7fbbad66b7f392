"""What is on record of a failure."""

from __future__ import annotations

import json
from email.message import Message
from urllib.error import HTTPError

import pytest

import flyte_notebook as flyte
from flyte_notebook import errors
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
