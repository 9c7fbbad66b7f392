"""What a person sees in a cell when something is wrong: one clear error, the run on record, and the next cell works."""

from __future__ import annotations

import pytest

from flyte_notebook.testing import RUN_MIME

DEFINITIONS = """%%flyte bad-input
import flyte

@env.task
async def double(x: int) -> int:
    return 2 * x

@env.task
def call_it(f: object) -> int:
    return f(1)
"""


@pytest.fixture(autouse=True)
def defined(kernel):
    kernel.run(DEFINITIONS)
    yield
    (tree, result) = kernel.run("%%flyte\nawait double(21)")
    assert result.data["text/plain"] == "42"


def tree_of(outputs):
    """The tree that a cell shows, as text."""
    (output,) = [output for output in outputs if RUN_MIME in output.get("data", ())]
    return output.data["text/plain"]


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (
            "await double('3')",
            "TypeError",
            ["Type conversion failed for variable 'x'", "<class 'int'>", "<class 'str'>"],
        ),
        ("await double(2.0)", "TypeError", ["Type conversion failed for variable 'x'", "Value received: 2.0"]),
        ("await double()", "ValueError", ["Missing required inputs: x"]),
        ("await double(1, 2)", "ValueError", ["Too many positional arguments provided"]),
        ("await double(1, y=2)", "ValueError", ["y"]),
        ("call_it(__import__('threading').Lock().acquire)", "TypeError", ["variable 'f'", "cannot pickle"]),
        ("call_it(n for n in range(3))", "TypeError", ["variable 'f'", "cannot pickle"]),
        ("flyte.TaskEnvironment('My Env')", "ValueError", ["'My Env'", "snake_case or kebab-case"]),
        ("flyte.run(len, [1])", "TypeError", ["On Flyte tasks can be run"]),
        ("flyte.deploy(env)", "AttributeError", ["'deploy'", "Flyte SDK"]),
        ("await double.override(name='other')(1)", "ValueError", ["Name cannot be overridden"]),
    ],
)
def test_a_wrong_call_says_what_is_wrong_and_points_at_its_line(kernel, call, error, words):
    name, message, traceback, outputs = kernel.fail(f"%%flyte\n\n{call}")
    assert (name, outputs) == (error, [])
    assert [word for word in words if word not in message] == []
    assert f"3 {call}" in traceback
    assert "flyte_notebook/" not in traceback


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("%%flyte --hiden", ["--hiden", "did you mean --hide?"]),
        ("%%flyte --cache sometimes", ["--cache is one of auto, override, disable"]),
        ("%%flyte --image", ["--image needs a value"]),
        ("%%flyte one two", ["'two'"]),
        ("%%flyte My_Env!", ["My_Env!"]),
        ("%flyte rums", ["%flyte rums does not exist"]),
        ("%flyte show no-such-run", ["no-such-run"]),
    ],
)
def test_a_wrong_option_gets_one_line_that_says_what_to_type(kernel, line, words):
    complaint = kernel.complain(f"{line}\nawait double(1)" if line.startswith("%%") else line)
    assert complaint.startswith("UsageError: ")
    assert complaint.strip().count("\n") == 0
    assert [word for word in words if word not in complaint] == []


def test_a_syntax_error_points_at_the_cells_own_line(kernel):
    name, _, traceback, outputs = kernel.fail("%%flyte\nx = 1\nawait double(1\ny = 2")
    assert (name, outputs) == ("SyntaxError", [])
    assert "line 3" in traceback
    assert "await double(1" in traceback


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("raise KeyError('no such row')", "KeyError"),
        ("raise StopIteration", "StopIteration"),
        ("raise SystemExit(3)", "SystemExit"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise type('Odd', (Exception,), {'__str__': lambda self: 1 / 0})", "Odd"),
    ],
)
@pytest.mark.parametrize("kind", ["async def", "def"])
def test_a_task_that_raises_fails_its_action_and_not_the_kernel(kernel, kind, statement, code):
    source = f"%%flyte\n@env.task\n{kind} fails(x: int) -> int:\n    {statement}\n"
    _, _, traceback, outputs = kernel.fail(f"{source}\nawait fails.aio(1)")
    tree = tree_of(outputs)
    assert tree.startswith("fails · FAILED · 1 action: 1 failed\n")
    assert code in tree
    assert "(line 4)" in tree
    assert "flyte_notebook/" not in traceback
    caught = (
        "try:\n    await flyte.run.aio(fails, 1)\nexcept flyte.errors.RuntimeUserError as error:\n    print(error.code)"
    )
    assert kernel.run(caught)[-1].text == f"{code}\n"


def test_a_result_of_another_type_than_annotated_is_refused(kernel):
    name, message, _, outputs = kernel.fail(
        "%%flyte\n@env.task\nasync def wrong() -> int:\n    return 'x'\n\nawait wrong()"
    )
    assert name == "RuntimeDataValidationError"
    assert "int" in message
    assert "wrong FAILED" in tree_of(outputs)


@pytest.mark.parametrize(
    ("expression", "shown"),
    [
        ("'x' * 10_000_000", "'xxx"),
        ("list(range(1_000_000))", "[0, 1, 2"),
        ("type('Rude', (), {'__repr__': lambda self: 1 / 0})()", "Rude"),
        ("'<script>alert(1)</script>'", "'<script>alert(1)</script>'"),
    ],
    ids=["huge text", "huge list", "repr raises", "HTML"],
)
def test_a_result_that_is_awkward_to_show_is_shown_in_brief_and_escaped(kernel, expression, shown):
    source = f"%%flyte\n@env.task\nasync def awkward() -> object:\n    return {expression}\n\nresult = await awkward()"
    (output,) = kernel.run(source)
    line = output.data["text/plain"].splitlines()[1]
    assert line.startswith("awkward = ")
    assert shown in line
    assert len(line) < 300
    assert "<script>" not in output.data["text/html"]
    assert len(str(output.data)) < 20_000
