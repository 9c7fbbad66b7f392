"""`%load_ext`, `%flyte`, options, completion and help, in a plain IPython."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from IPython.core.completer import CompletionContext, provisionalcompleter
from IPython.core.error import StdinNotImplementedError
from IPython.core.interactiveshell import InteractiveShell

import flyte_notebook
from flyte_notebook.api.alias import SUBMODULES
from flyte_notebook.engine import runs
from flyte_notebook.notebook.commands import COMMANDS
from flyte_notebook.notebook.completion import candidates, matcher
from flyte_notebook.record import events
from flyte_notebook.record.store import open_store
from tests.notebook.shells import Shell
from tests.record.journal_cases import at_work, finished, put, started

TASK = "%%flyte my-env\n@env.task\nasync def add(x: int) -> int:\n    return x + 1\n"


@pytest.fixture
def ran(shell: Shell) -> Shell:
    """One run on record."""
    shell.ok(TASK + "await add(1)")
    return shell


# --- loading and unloading ------------------------------------------------------------------------------------------


def installed(instance: InteractiveShell) -> dict[str, object]:
    """Everything in a shell and a process that an extension could leave behind."""
    return {
        "text transformers": list(instance.input_transformers_cleanup),
        "tree transformers": list(instance.ast_transformers),
        "magics": {kind: sorted(names) for kind, names in instance.magics_manager.magics.items()},
        "hooks": {name: list(found) for name, found in instance.events.callbacks.items()},
        "matchers": list(instance.Completer.custom_matchers),
        "tracebacks": dict(instance.InteractiveTB.__dict__).get("structured_traceback"),
        "origin": runs.current_origin,
        "settled": list(runs.settled),
        "live": events.live._subscribers,
        "committed": events.committed._subscribers,
        "interrupt": signal.getsignal(signal.SIGINT),
        "streams": (sys.stdout, sys.stderr),
    }


def test_unloading_leaves_nothing_behind_and_loading_twice_is_loading_once(shell: Shell) -> None:
    shell.ok("%unload_ext flyte_notebook")
    before = installed(shell.instance)
    shell.ok("%load_ext flyte_notebook")
    loaded = installed(shell.instance)
    assert loaded != before
    shell.ok("%load_ext flyte_notebook")
    flyte_notebook.load_ipython_extension(shell.instance)
    assert installed(shell.instance) == loaded
    shell.ok("%reload_ext flyte_notebook")
    shell.ok(TASK + "await add(1)")
    shell.ok("%unload_ext flyte_notebook")
    assert installed(shell.instance) == before
    flyte_notebook.unload_ipython_extension(shell.instance)
    assert installed(shell.instance) == before


def test_a_run_leaves_no_thread_of_a_view_and_no_hook(shell: Shell) -> None:
    before = installed(shell.instance)
    shell.ok(TASK + "await add(1)")
    assert installed(shell.instance) == before
    assert not [thread for thread in threading.enumerate() if thread.name == "flyte-notebook-view"]


@pytest.mark.parametrize("code", ["1", "%%flyte\n@env.task\nasync def one() -> int:\n    return 1\nawait one()"])
def test_a_process_that_ends_with_the_extension_loaded_complains_of_nothing(tmp_path: Path, code: str) -> None:
    script = tmp_path / "session.ipy"
    script.write_text(f"%load_ext flyte_notebook\nget_ipython().run_cell({code!r})\n")
    done = subprocess.run(
        [sys.executable, "-m", "IPython", "--quick", "--HistoryManager.enabled=False", str(script)],
        env=os.environ | {"FLYTE_NOTEBOOK_HOME": str(tmp_path / "home"), "IPYTHONDIR": str(tmp_path / "ipython")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("]: 1\n")


def test_without_the_extension_there_is_no_such_magic(shell: Shell) -> None:
    shell.ok("%unload_ext flyte_notebook")
    assert "%%flyte` not found" in shell.complaint("%%flyte\n1")


@pytest.fixture
def current_loop() -> Iterator[None]:
    """An event loop that is the current one and does not run, as scripts find one; gone afterwards."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()


@pytest.mark.usefixtures("current_loop")
def test_nesting_is_repaired_where_nest_asyncio_came_first(shell: Shell) -> None:
    shell.ok("import nest_asyncio\nnest_asyncio.apply()")
    shell.ok("%reload_ext flyte_notebook")
    assert hasattr(asyncio, "_nest_asyncio2")
    shell.ok(TASK)
    assert shell.result("flyte.run(add, x=1).outputs().o0") == 2


# --- the words after %%flyte ----------------------------------------------------------------------------------------

USAGE = "%%flyte [ENV] [--image IMAGE] [--cache auto|override|disable] [--resume [RUN]] [--keep] [--hide]"


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("--foo", f"%%flyte has no option --foo. Type: {USAGE}"),
        ("--hid", f"%%flyte has no option --hid (did you mean --hide?). Type: {USAGE}"),
        ("--hide=yes", f"--hide takes no value. Type: {USAGE}"),
        ("--cache sometimes", "--cache is one of auto, override, disable, not 'sometimes'"),
        ("--cache", "--cache needs a value, as in: %%flyte --cache auto"),
        ("--image --hide", "--image needs a value, as in: %%flyte --image ghcr.io/me/train:1"),
        ("one two", f"%%flyte does not know what to do with 'two'. Type: {USAGE}"),
        ("'one", "a quote is not closed in: %%flyte 'one"),
        (
            "Not_A_Name",
            "Environment name 'Not_A_Name' must be in snake_case or kebab-case format. As in: %%flyte my-env",
        ),
        ("-x", f"%%flyte has no option -x. Type: {USAGE}"),
    ],
)
def test_a_wrong_first_line_is_answered_in_one_line_and_nothing_runs(shell: Shell, line: str, answer: str) -> None:
    assert shell.complaint(f"%%flyte {line}\nran = True") == answer
    assert "ran" not in shell.names


@pytest.mark.parametrize("line", ["my-env --hide --cache=auto --image=i:1", "--cache auto my-env  # note", '"my-env"'])
def test_right_first_lines_in_any_order(shell: Shell, line: str) -> None:
    assert shell.result(f"%%flyte {line}\nenv.name") == "my-env"


# --- %flyte ---------------------------------------------------------------------------------------------------------


def test_alone_it_lists_what_there_is(shell: Shell) -> None:
    lines = shell.ok("%flyte").printed.splitlines()
    assert [line.split()[1] for line in lines] == list(COMMANDS)


def test_runs_is_a_dataframe_of_the_history_newest_first(ran: Shell) -> None:
    empty = ran.instance.run_line_magic("flyte", "runs")
    ran.run("%%flyte\n@env.task\nasync def bad() -> int:\n    raise ValueError('no')\nawait bad()")
    frame = ran.result("%flyte runs")
    assert isinstance(frame, pd.DataFrame)
    assert list(frame.columns) == list(empty.columns)
    assert list(frame["phase"]) == ["FAILED", "SUCCEEDED"]
    assert list(frame["actions"]) == [1, 1]
    assert frame["error"].iloc[0] == "ValueError: no"
    assert [name.partition("-")[0] for name in frame.index] == ["bad", "add"]
    assert (frame["duration"] >= pd.Timedelta(0)).all()


def test_runs_of_an_empty_store_is_an_empty_dataframe(shell: Shell) -> None:
    assert len(shell.result("%flyte runs")) == 0


def test_show_draws_the_last_run_or_any_that_is_named(ran: Shell) -> None:
    first = flyte_notebook.runs()[0].name
    ran.ok("%%flyte\nawait add(40)")
    assert "add = 41" in ran.ok("%flyte show").printed
    assert "add = 2" in ran.ok(f"%flyte show {first}").printed
    assert "add = 2" in ran.ok(f"%flyte show {first[:-1]}").printed


def test_a_run_that_is_not_there_is_answered_with_candidates(ran: Shell) -> None:
    name = flyte_notebook.runs()[0].name
    assert name in ran.complaint("%flyte show nothing")
    ran.ok("%%flyte\nawait add(40)")
    answer = ran.complaint("%flyte show add")
    assert all(run.name in answer for run in flyte_notebook.runs())


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("bogus", "%flyte bogus does not exist. Type: %flyte runs|show|cancel|resume|use|export|clean|doctor"),
        ("show", "no run is on record yet"),
        ("cancel", "no run is going on in this kernel"),
        ("runs 5", "%flyte runs does not know what to do with '5'. Type: %flyte runs"),
        ("export", "%flyte export needs FILE. Type: %flyte export FILE [RUN]"),
        ("export tree.pdf", "export writes .html or .json, as in: %flyte export tree.html"),
        (
            "clean --older-than soon",
            "an age is a number and m, h, d or w, not 'soon'. Type: %flyte clean --older-than 7d",
        ),
        ("use dask", "tasks run in this kernel only; there is no backend 'dask'. Type: %flyte use kernel"),
    ],
)
def test_bad_arguments_get_one_line_that_says_what_to_type(shell: Shell, line: str, answer: str) -> None:
    assert shell.complaint(f"%flyte {line}") == answer


def test_cancelling_a_run_that_has_ended_says_that_it_is_not_going_on(ran: Shell) -> None:
    name = flyte_notebook.runs()[0].name
    assert ran.complaint(f"%flyte cancel {name}") == f"{name} is not going on in this kernel. No run is."


def test_use_says_where_tasks_run(shell: Shell) -> None:
    assert shell.ok("%flyte use").printed == "Tasks run in this kernel.\n"
    assert shell.ok("%flyte use kernel").printed == "Tasks run in this kernel.\n"


def test_export_writes_a_page_or_the_saved_form(ran: Shell, tmp_path: Path) -> None:
    ran.ok(f"%flyte export {tmp_path / 'tree.html'}")
    page = (tmp_path / "tree.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert "<td" in page
    ran.ok(f"%flyte export '{tmp_path / 'my tree.json'}'")
    saved = json.loads((tmp_path / "my tree.json").read_text(encoding="utf-8"))
    assert saved["version"] == 1
    assert [row["n"] for row in saved["rows"]] == ["add"]
    assert saved["details"]["0"]["inputs"][0]["name"] == "x"
    assert "cannot be written" in ran.complaint(f"%flyte export {tmp_path / 'no' / 'tree.html'}")


def test_clean_removes_old_runs_and_keeps_young_ones(ran: Shell) -> None:
    assert ran.ok("%flyte clean --yes").printed.splitlines()[-1] == "Nothing was removed."
    said = ran.ok("%flyte clean --older-than 0m --yes").printed.splitlines()
    assert re.fullmatch(r"1 run of more than 0m ago and 0 values can go: 0\.0 MB\.", said[0])
    assert re.fullmatch(r"0 runs would stay: 0\.0 MB of values, 0\.0 MB of files, a journal of 0\.\d MB\.", said[1])
    assert said[2] == "1 run removed, 0.0 MB freed."
    assert flyte_notebook.runs() == []


@pytest.mark.parametrize(("answer", "left"), [("y", 0), (" Yes ", 0), ("n", 1), ("", 1), ("of course", 1)])
def test_clean_asks_first(ran: Shell, monkeypatch, answer: str, left: int) -> None:
    asked = []
    monkeypatch.setattr("builtins.input", lambda prompt: asked.append(prompt) or answer)
    said = ran.ok("%flyte clean --older-than 0m").printed
    assert asked == ["Remove them? [y/N] "]
    assert ("Nothing was removed." in said) == bool(left)
    assert len(flyte_notebook.runs()) == left


LARGE = """%%flyte
@env.task
async def large() -> bytes:
    import os
    return os.urandom(1_000_000)

made = await large()
"""


def test_clean_shows_what_it_frees_right_after_the_last_run(shell: Shell) -> None:
    shell.ok(LARGE)
    said = shell.ok("%flyte clean --older-than 0m --yes").printed.splitlines()
    assert said[0] == "1 run of more than 0m ago and 1 value can go: 1.0 MB."
    assert said[1].startswith("0 runs would stay: 0.0 MB of values, ")
    assert said[2:] == ["1 run removed, 1.0 MB freed."]
    assert list(open_store().blobs.scan()) == []


def test_clean_waits_for_another_kernel_to_rest_that_has_just_ended_its_runs(shell: Shell, monkeypatch) -> None:
    shell.ok(LARGE)
    real_sleep = time.sleep
    with at_work(open_store()) as other:

        def sleep(seconds: float) -> None:
            other.communicate()
            real_sleep(seconds)

        monkeypatch.setattr(time, "sleep", sleep)
        said = shell.ok("%flyte clean --older-than 0m --yes").printed.splitlines()
    assert said[2:] == ["1 run removed, 1.0 MB freed."]


def test_clean_says_what_stays_for_a_while_because_a_run_is_in_progress(shell: Shell) -> None:
    shell.ok(LARGE)
    put(open_store().journal, started())
    said = shell.ok("%flyte clean --older-than 0m --yes").printed.splitlines()
    assert said[0] == "1 run of more than 0m ago and 0 values can go: 0.0 MB."
    assert said[1].startswith("1 run would stay: 1.0 MB of values, ")
    assert said[2:] == [
        "1.0 MB more can go once the run in progress has ended, or in 10 minutes.",
        "1 run removed, 0.0 MB freed.",
    ]
    put(open_store().journal, finished())
    assert "0 runs of more" not in shell.ok("%flyte clean --older-than 0m --yes").printed
    assert list(open_store().blobs.scan()) == []


def test_clean_says_what_came_into_use_while_it_asked(shell: Shell, monkeypatch) -> None:
    shell.ok(LARGE)
    sha, _, _ = next(open_store().blobs.scan())

    def use(prompt: str) -> str:
        os.utime(open_store().blobs.path(sha))
        return "y"

    monkeypatch.setattr("builtins.input", use)
    said = shell.ok("%flyte clean --older-than 0m").printed.splitlines()
    assert said[-1] == "1 run removed, 0.0 MB freed. 1.0 MB came into use meanwhile, and stayed."
    assert [name for name, _, _ in open_store().blobs.scan()] == [sha]


@pytest.mark.parametrize("error", [StdinNotImplementedError, EOFError, OSError])
def test_clean_says_what_to_type_where_nobody_can_be_asked(ran: Shell, monkeypatch, error: type[Exception]) -> None:
    def refuse(prompt: str) -> str:
        raise error

    monkeypatch.setattr("builtins.input", refuse)
    assert ran.complaint("%flyte clean --older-than 0m") == (
        "nothing was removed, as nobody can be asked here. Type: %flyte clean --older-than 0m --yes"
    )
    assert len(flyte_notebook.runs()) == 1


def test_clean_does_not_ask_when_there_is_nothing_to_remove(ran: Shell, monkeypatch) -> None:
    monkeypatch.setattr("builtins.input", None)
    assert ran.ok("%flyte clean").printed.endswith("Nothing was removed.\n")


def test_the_doctor_looks_at_everything_and_marks_what_needs_attention(shell: Shell) -> None:
    report = shell.ok("%flyte doctor").printed
    assert flyte_notebook.__version__ in report
    assert not [line for line in report.splitlines() if line.startswith("!")]
    shell.ok("%autoawait off")
    assert "! await in cells" in shell.ok("%flyte doctor").printed


@pytest.mark.parametrize("standing_in", [False, True])
def test_the_doctor_looks_for_the_sdk_itself_not_for_what_stands_in_for_it(
    shell: Shell, tmp_path: Path, monkeypatch, standing_in: bool
) -> None:
    monkeypatch.delitem(sys.modules, "flyte", raising=False)
    if standing_in:
        for name in ("flyte", *(f"flyte.{submodule}" for submodule in SUBMODULES)):
            monkeypatch.setitem(sys.modules, name, flyte_notebook)
    assert "not installed; only needed to go to a Flyte cluster" in shell.ok("%flyte doctor").printed
    about = tmp_path / "flyte-2.12.1.dist-info" / "METADATA"
    about.parent.mkdir()
    about.write_text("Metadata-Version: 2.1\nName: flyte\nVersion: 2.12.1\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert "2.12.1; in %%flyte cells `import flyte` means flyte_notebook" in shell.ok("%flyte doctor").printed


def test_an_unusable_store_is_answered_in_one_line(shell: Shell, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FLYTE_NOTEBOOK_HOME", str(tmp_path / "file"))
    assert str(tmp_path / "file") in shell.complaint("%flyte runs")
    assert "! store" in shell.ok("%flyte doctor").printed


# --- Tab and ? ------------------------------------------------------------------------------------------------------


def completed(shell: Shell, text: str) -> list[str]:
    line = text.count("\n")
    context = CompletionContext(
        token=text.rsplit(" ", maxsplit=1)[-1],
        full_text=text,
        cursor_position=len(text.splitlines()[-1]) if text else 0,
        cursor_line=line,
        limit=None,
    )
    return [completion.text for completion in matcher(context)["completions"]]


def test_tab_offers_subcommands_options_values_environments_and_runs(ran: Shell) -> None:
    name = flyte_notebook.runs()[0].name
    assert completed(ran, "%flyte ") == list(COMMANDS)
    assert completed(ran, "%flyte sh") == ["show"]
    assert completed(ran, "%flyte show ") == [name]
    assert completed(ran, "%flyte show a") == [name]
    assert completed(ran, "x = 1\n%flyte cancel ") == [name]
    assert completed(ran, "%flyte use ") == ["kernel"]
    assert completed(ran, "%flyte clean --") == ["--older-than", "--yes"]
    assert completed(ran, "%%flyte ") == ["my-env", "--image", "--cache", "--resume", "--keep", "--hide"]
    assert completed(ran, "%%flyte --c") == ["--cache"]
    assert completed(ran, "%%flyte --cache ") == ["auto", "override", "disable"]
    assert completed(ran, "%%flyte my-env --cache auto --") == ["--image", "--resume", "--keep", "--hide"]
    assert completed(ran, "%%flyte --resume ") == [name, "--image", "--cache", "--keep", "--hide"]
    assert completed(ran, "%flyte resume ") == [name, "--keep"]
    assert completed(ran, "%flyte show x ") == []


def test_tab_offers_nothing_of_ours_in_other_lines(shell: Shell) -> None:
    for text in ("", "flyte ", "%time flyte ", "print('%flyte ", "%flytes "):
        assert completed(shell, text) == []
    assert candidates(["%flyte", "bogus"]) == []


def test_tab_works_through_ipython(ran: Shell) -> None:
    with provisionalcompleter():
        found = list(ran.instance.Completer.completions("x = 1\n%flyte sho", 16))
    assert [(completion.start, completion.end, completion.text) for completion in found] == [(13, 16, "show")]


def test_the_question_mark_explains_every_option_and_subcommand(shell: Shell) -> None:
    line = shell.instance.object_inspect_text("%flyte")
    cell = shell.instance.object_inspect_text("%%flyte")
    assert all(command in line for command in COMMANDS)
    assert all(option in cell for option in ("[ENV]", "--image", "--cache", "--hide", "await"))
    assert "--hide" in shell.ok("%%flyte?").printed


def test_an_unfinished_cell_is_known_to_be_unfinished(shell: Shell) -> None:
    check = shell.instance.check_complete
    assert check("%%flyte\n@env.task\nasync def f() -> int:")[0] == "incomplete"
    assert check("%%flyte\n1 + 1\n\n")[0] == "complete"
