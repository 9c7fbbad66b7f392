"""`%%flyte` cells in a plain IPython: what is bound, what they return, what is rewritten, what is shown."""

from __future__ import annotations

import sys
import types

import pytest
from IPython.core.interactiveshell import InteractiveShell

import flyte_notebook
from tests.notebook.shells import Shell

TASKS = """%%flyte my-env
@env.task
async def inner(x: int) -> int:
    return x + 1

@env.task(short_name="entrypoint")
async def main(n: int) -> int:
    return await inner.override(short_name="bump")(n)
"""


@pytest.fixture
def tasks(shell: Shell) -> Shell:
    shell.ok(TASKS)
    return shell


def actions() -> list[tuple[str, str | None]]:
    newest = flyte_notebook.runs()[0]
    listed = newest.actions()
    names = {action.id: action.short_name for action in listed}
    return [(action.short_name, names.get(action.parent_id or "")) for action in listed]


# --- results --------------------------------------------------------------------------------------------------------


def test_the_last_expression_is_the_cells_result_and_its_tasks_are_actions(tasks: Shell) -> None:
    outcome = tasks.ok("%%flyte\nawait main(3)")
    assert outcome.result == 4
    assert outcome.printed.splitlines() == [
        "entrypoint · SUCCEEDED · 2 actions",
        "entrypoint = 4",
        "└─ bump = 4",
        "Out[3]: 4",
    ]
    assert actions() == [("entrypoint", None), ("bump", "entrypoint")]
    assert flyte_notebook.runs()[0].outputs() == (4,)


def test_a_cell_that_only_defines_things_shows_no_tree_and_is_no_run(shell: Shell) -> None:
    assert shell.ok(TASKS).printed == ""
    assert flyte_notebook.runs() == []


def test_a_task_called_and_not_awaited_is_awaited(tasks: Shell) -> None:
    assert tasks.result("%%flyte\nmain(3)") == 4


def test_a_run_called_and_not_awaited_is_awaited(tasks: Shell) -> None:
    run = tasks.result("%%flyte\nflyte.run.aio(main, n=3)")
    assert run.outputs() == (4,)


def test_a_coroutine_of_the_users_own_is_left_alone(shell: Shell) -> None:
    shell.ok("async def mine():\n    return 1")
    coroutine = shell.result("%%flyte\nmine()")
    assert coroutine.cr_code.co_name == "mine"
    coroutine.close()


def test_a_semicolon_hides_the_result_and_keeps_it_on_record(tasks: Shell) -> None:
    outcome = tasks.ok("%%flyte\nawait main(3);")
    assert outcome.result is None
    assert "Out[" not in outcome.printed
    assert flyte_notebook.runs()[0].outputs() == (4,)


def test_a_cell_without_an_expression_at_its_end_has_no_result(tasks: Shell) -> None:
    assert tasks.result("%%flyte\nx = await main(3)") is None
    assert tasks.names["x"] == 4


@pytest.mark.parametrize(
    ("interactivity", "code", "shown"),
    [
        ("last_expr", "1\n2", ["2"]),
        ("all", "1\nawait main(1)\n3", ["1", "2", "3"]),
        ("none", "1\n2", []),
        ("last_expr_or_assign", "y = await main(1)", ["2"]),
        ("last_expr_or_assign", "y: int = 5", ["5"]),
        ("last_expr_or_assign", "y = 1\ny += 5", ["6"]),
    ],
)
def test_ast_node_interactivity_is_respected(tasks: Shell, interactivity: str, code: str, shown: list[str]) -> None:
    tasks.instance.ast_node_interactivity = interactivity
    printed = tasks.ok(f"%%flyte\n{code}").printed
    assert [line.partition(": ")[2] for line in printed.splitlines() if line.startswith("Out[")] == shown


def test_magics_and_shell_commands_work_in_the_body(shell: Shell) -> None:
    outcome = shell.ok("%%flyte\nfound = !echo hello\n%xmode Minimal\nfound[0]")
    assert outcome.result == "hello"


def test_a_value_that_cannot_be_recorded_is_still_the_cells_result(tasks: Shell) -> None:
    result = tasks.result("%%flyte\nawait main(1)\n(i for i in range(3))")
    assert list(result) == [0, 1, 2]


# --- names ----------------------------------------------------------------------------------------------------------


def test_flyte_and_env_are_bound_and_stay(shell: Shell) -> None:
    shell.ok("%%flyte my-env")
    assert shell.names["flyte"] is flyte_notebook
    assert shell.names["env"].name == "my-env"
    assert shell.result("%%flyte\nenv.name") == "my-env"


def test_without_a_name_the_environment_is_called_notebook(shell: Shell) -> None:
    assert shell.result("%%flyte\nenv.name") == "notebook"


def test_naming_an_environment_again_extends_it(tasks: Shell) -> None:
    first = tasks.names["env"]
    tasks.ok("%%flyte other")
    assert tasks.names["env"] is not first
    tasks.ok("%%flyte my-env\n@env.task\nasync def more() -> int:\n    return 1")
    assert tasks.names["env"] is first
    assert set(first.tasks) == {"my-env.inner", "my-env.main", "my-env.more"}


def test_an_environment_made_in_a_body_is_found_by_its_name(shell: Shell) -> None:
    shell.ok("%%flyte\nmine = flyte.TaskEnvironment('hand-made')")
    shell.ok("%%flyte hand-made")
    assert shell.names["env"] is shell.names["mine"]


@pytest.mark.parametrize("taken", ["env = 7", "import os; env = os.environ", "class env: name = 'mine'"])
def test_where_env_became_something_else_the_last_environment_is_bound_again_in_one_line(
    shell: Shell, taken: str
) -> None:
    shell.ok("%%flyte first")
    shell.ok("%%flyte second")
    shell.ok("%%flyte first")
    shell.ok(taken)
    outcome = shell.ok("%%flyte\n@env.task\nasync def t() -> int:\n    return 1\nenv.name, await t()")
    assert outcome.result == ("first", 1)
    assert outcome.complained.count("\n") == 1
    assert "in %%flyte cells, and from here on, it is the environment 'first'" in outcome.complained
    assert shell.ok("%%flyte\nenv.name").complained == ""


def test_where_env_became_something_else_an_environment_of_the_users_making_counts_too(shell: Shell) -> None:
    shell.ok("%%flyte first")
    shell.ok("%%flyte\nenv = flyte.TaskEnvironment('hand-made')")
    shell.ok("%%flyte\nenv.task(lambda: 1)")
    shell.ok("env = 7")
    assert shell.result("%%flyte\nenv.name") == "hand-made"


def test_where_env_was_something_else_from_the_start_the_cell_says_which_environment_it_is(shell: Shell) -> None:
    shell.ok("env = 'production'")
    outcome = shell.ok("%%flyte\nenv.name")
    assert outcome.result == "notebook"
    assert "`env` was of type str here" in outcome.complained


def test_an_environment_that_is_named_takes_the_name_env(shell: Shell) -> None:
    shell.ok("env = 'production'")
    outcome = shell.ok("%%flyte my-env\nenv.name")
    assert (outcome.result, outcome.complained) == ("my-env", "")


def test_running_a_definition_again_replaces_the_task(tasks: Shell) -> None:
    tasks.ok(TASKS.replace("x + 1", "x + 100"))
    assert tasks.result("%%flyte\nawait main(3)") == 103


def test_running_the_definition_of_a_class_again_replaces_it_for_the_tasks_defined_before(shell: Shell) -> None:
    shell.ok("class Q: v = 1")
    shell.ok(
        "%%flyte my-env\n@env.task\ndef make(n: int) -> Q:\n    return Q()\n"
        "@env.task\ndef take(q: Q) -> bool:\n    return type(q) is Q and q.v == 2"
    )
    assert shell.result("%%flyte\nmake(1).v") == 1
    shell.ok("class Q: v = 2")
    outcome = shell.result("%%flyte\nmade = make(1)\nmade.v, type(made) is Q, take(made), take(Q())")
    assert outcome == (2, True, True, True)


def test_the_image_option_is_declared_for_the_tasks(shell: Shell) -> None:
    shell.ok("%%flyte my-env --image ghcr.io/me/train:1\n@env.task\nasync def t() -> int:\n    return 1")
    assert shell.names["env"].image == "ghcr.io/me/train:1"
    shell.ok("%%flyte\nawait t()")
    assert flyte_notebook.runs()[0].phase == "SUCCEEDED"


def test_the_cache_option_is_for_tasks_that_declare_none(shell: Shell) -> None:

    shell.ok("%%flyte\n@env.task\nasync def t(x: int) -> int:\n    import builtins\n    return x")
    shell.ok("%%flyte --cache auto\nawait t(1)")
    shell.ok("%%flyte --cache auto\nawait t(1)")
    assert [action.cached for action in flyte_notebook.runs()[0].actions()] == [True]


def test_hide_keeps_what_tasks_print_out_of_the_cell(shell: Shell) -> None:
    shell.ok("%%flyte\n@env.task\nasync def t() -> int:\n    print('from the task')\n    return 1")
    assert "from the task" in shell.ok("%%flyte\nawait t()").printed
    hidden = shell.ok("%%flyte --hide\nprint('from the cell')\nawait t()").printed
    assert "from the task" not in hidden
    assert "from the cell" in hidden


def test_where_flyte_was_the_sdk_the_cell_says_so_in_one_line(shell: Shell) -> None:
    shell.names["flyte"] = types.ModuleType("flyte")
    outcome = shell.ok("%%flyte\nflyte.__name__")
    assert outcome.result == "flyte_notebook"
    assert outcome.complained.count("\n") == 1
    assert "`flyte` was the Flyte SDK here" in outcome.complained
    assert shell.ok("%%flyte\nflyte.__name__").complained == ""


# --- imports --------------------------------------------------------------------------------------------------------


def test_imports_of_flyte_mean_this_package_wherever_they_stand(shell: Shell) -> None:
    before = set(sys.modules)
    shell.ok(
        """%%flyte
import flyte, os
import flyte.errors
import flyte.report as rep
from flyte.io import File
from flyte import TaskEnvironment as TE

def inside():
    import flyte as f
    from flyte.errors import OOMError
    import flyte.durable
    return f, OOMError, flyte

class Inside:
    import flyte.io as io
"""
    )
    names = shell.names
    assert names["flyte"] is flyte_notebook
    assert names["os"] is sys.modules["os"]
    assert names["rep"] is sys.modules["flyte_notebook.report"]
    assert names["File"].__module__.startswith("flyte_notebook.io")
    assert names["TE"] is flyte_notebook.TaskEnvironment
    assert names["inside"]() == (flyte_notebook, flyte_notebook.errors.OOMError, flyte_notebook)
    assert names["Inside"].io is sys.modules["flyte_notebook.io"]
    assert "flyte_notebook" not in names
    assert not {name for name in set(sys.modules) - before if name.partition(".")[0] == "flyte"}


def test_other_imports_are_left_alone(shell: Shell) -> None:
    shell.ok("%%flyte\nimport json as j")
    assert shell.names["j"] is sys.modules["json"]


SDK = "It exists in the Flyte SDK (`pip install flyte`), for use with a Flyte cluster."
NOWHERE = "The Flyte SDK has no such name in its public API either."


@pytest.mark.parametrize(
    ("code", "kind", "name", "whereabouts"),
    [
        ("flyte.remote", AttributeError, "remote", SDK),
        ("flyte.File", AttributeError, "File", "It is in flyte.io."),
        ("flyte.OOMError", AttributeError, "OOMError", "It is in flyte.errors."),
        ("flyte.html", AttributeError, "html", NOWHERE),
        ("flyte.Sequence", AttributeError, "Sequence", NOWHERE),
        ("import flyte.remote", ModuleNotFoundError, "remote", SDK),
        ("import os, flyte.remote as r", ModuleNotFoundError, "remote", SDK),
        ("from flyte.remote import Run", ModuleNotFoundError, "remote", SDK),
        ("from flyte.remote.deep import Run", ModuleNotFoundError, "remote", SDK),
        ("from flyte import TaskEnvironment, Trigger", ImportError, "Trigger", SDK),
        ("from flyte import File as F", ImportError, "File", "It is in flyte.io."),
        ("def f():\n    from flyte import nothing\nf()", ImportError, "nothing", NOWHERE),
    ],
)
def test_a_name_that_flyte_does_not_have_is_answered_with_where_it_is(
    shell: Shell, code: str, kind: type[Exception], name: str, whereabouts: str
) -> None:
    outcome = shell.run(f"%%flyte\n\n{code}")
    assert type(outcome.error) is kind
    assert str(outcome.error) == f"module 'flyte_notebook' has no attribute {name!r}. {whereabouts}"
    assert code.splitlines()[-2 if "def" in code else -1] in outcome.printed


def test_an_import_that_fails_can_be_caught_and_one_that_is_not_reached_does_not_matter(shell: Shell) -> None:
    shell.ok("%%flyte\ntry:\n    from flyte import Trigger\nexcept ImportError:\n    Trigger = None")
    assert shell.names["Trigger"] is None
    shell.ok("%%flyte\nif not flyte:\n    import flyte.remote")
    shell.ok("%%flyte\nfrom flyte import *\nfrom flyte import io, testing\nimport flyte.testing")
    assert shell.names["io"] is sys.modules["flyte_notebook.io"]


@pytest.mark.parametrize(
    "top",
    [
        "# a comment\n\nfrom __future__ import annotations",
        '"""What this cell does."""\nfrom __future__ import annotations  # lazily',
        '"""What this cell does,\nin two lines."""; from __future__ import annotations; x = 1',
        "from __future__ import (\n    annotations,  # lazily\n    division,\n)",
        "from __future__ import (division,\n  annotations); x = 1",
        "from __future__ import division as d, \\\n    annotations",
        "from __future__ import division\nfrom __future__ import annotations;",
    ],
)
def test_future_imports_work_at_the_top_of_a_body_as_in_a_module(shell: Shell, top: str) -> None:
    body = f"{top}\ndef f(x: Unknown): pass\nf.__annotations__, f.__code__.co_firstlineno"
    lines = body.count("\n")
    assert shell.result(f"%%flyte\n{body}") == ({"x": "Unknown"}, lines + 1)
    shell.ok("%autoawait off")
    assert shell.result(f"%%flyte\n{body}") == ({"x": "Unknown"}, lines + 1)


@pytest.mark.parametrize(
    "body",
    [
        "x = 1\nfrom __future__ import annotations",
        "'one'\n'two'\nfrom __future__ import annotations",
        "from __future__ import annotations +",
        "from __future__ import (annotations",
        "from __future__ import nothing",
        "from __future__ import\n1",
    ],
)
def test_future_imports_that_are_wrong_in_a_module_are_wrong_in_a_body(shell: Shell, body: str) -> None:
    assert isinstance(shell.run(f"%%flyte\n{body}").error, SyntaxError)


def test_a_body_with_magics_at_its_top_can_speak_of_future_imports(shell: Shell) -> None:
    assert shell.result("%%flyte\n%matplotlib --list\n'from __future__ import annotations'[:4]") == "from"


# --- the other way in -----------------------------------------------------------------------------------------------


def test_the_cell_magic_runs_where_nothing_can_be_awaited(tasks: Shell) -> None:
    assert tasks.instance.run_cell_magic("flyte", "", "await main(3)") == 4
    assert tasks.instance.run_cell_magic("flyte", "", "await main(3);") is None
    assert tasks.instance.run_cell_magic("flyte", "fresh", "\n\nimport flyte\nenv.name") == "fresh"
    assert actions() == [("entrypoint", None), ("bump", "entrypoint")]


@pytest.mark.parametrize("outer", ["%%time", "%%capture seen"])
def test_other_cell_magics_can_stand_above(tasks: Shell, outer: str) -> None:
    tasks.ok(f"{outer}\n%%flyte\nx = await main(3)")
    assert tasks.names["x"] == 4


def test_a_cell_run_by_a_cell_works(tasks: Shell) -> None:
    tasks.ok("x = get_ipython().run_cell('%%flyte\\nawait main(3)').result")
    assert tasks.names["x"] == 4


def test_with_autoawait_off_the_cell_still_runs(tasks: Shell) -> None:
    tasks.ok("%autoawait off")
    assert tasks.result("%%flyte\nawait main(3)") == 4


def test_a_silent_execution_runs_and_displays_nothing(tasks: Shell) -> None:
    tasks.instance.run_cell("%%flyte\nx = await main(3)\nx", silent=True)
    assert tasks.names["x"] == 4


def test_code_that_goes_through_the_transformers_again_keeps_its_meaning(shell: Shell) -> None:
    source = "%%flyte my-env\n1 + 1"
    once = shell.instance.transform_cell(source)
    assert shell.instance.transform_cell(once) == once
    assert InteractiveShell.instance() is shell.instance
