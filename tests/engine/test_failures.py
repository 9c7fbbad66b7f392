"""What is on record of a failure."""

from __future__ import annotations

import json

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
