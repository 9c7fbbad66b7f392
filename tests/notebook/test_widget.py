"""The explorer without a browser: what it sends, how much at once, and what becomes of a view that fails."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

import flyte_notebook
from flyte_notebook.notebook import explorer as view
from flyte_notebook.notebook import frontend, widget
from flyte_notebook.notebook.detail import Material, Tried, collect, detail, look_up
from flyte_notebook.notebook.explorer import Explorer
from flyte_notebook.record.model import Phase
from flyte_notebook.record.store import open_store
from tests.notebook.shells import Shell
from tests.notebook.test_static import Run


class Browser:
    """A channel and its other end: applies what it is sent as the TypeScript does."""

    def __init__(self) -> None:
        self.rows: dict[int, Any] = {}
        self.sizes: list[int] = []
        self.sequence: int | None = None
        self.missed = 0
        self.others: list[dict[str, Any]] = []
        self.headers: list[dict[str, Any]] = []
        self.ended: list[bool] = []

    def open(self, header: dict[str, Any], hear: Callable[[Any], None]) -> None:
        self.headers.append(header)

    def tell(self, header: dict[str, Any]) -> None:
        self.headers.append(header)

    def end(self, *, stay: bool) -> None:
        self.ended.append(stay)

    def send(self, message: dict[str, Any]) -> None:
        match message["type"]:
            case "snapshot":
                self.rows = {}
                self.sequence = message["seq"]
            case "patch" if self.sequence is None:
                return
            case "patch":
                self.missed += message["seq"] != self.sequence + 1
                self.sequence = message["seq"]
            case _:
                self.others.append(message)
                return
        self.sizes.append(len(message["rows"]))
        self.rows |= {row["i"]: row for row in message["rows"]}


@pytest.fixture
def run() -> Run:
    """Three thousand actions, all running."""
    going = Run()
    for number in range(3000):
        going.submit(str(number))
    return going


@pytest.fixture
def cancelled() -> list[str | None]:
    return []


@pytest.fixture
def browser() -> Browser:
    return Browser()


@pytest.fixture
def explorer(run: Run, cancelled: list[str | None], browser: Browser) -> Explorer:
    return Explorer(run.tree, lambda node: {"id": node.id}, cancelled.append, browser)


def ask(explorer: Explorer, **message: Any) -> None:
    explorer._asked(message)


def test_a_large_tree_arrives_in_pieces_that_a_server_lets_through(
    run: Run, explorer: Explorer, browser: Browser
) -> None:
    ask(explorer, type="hello")
    while run.tree.pending:
        explorer._patch()
    assert [browser.rows[i] for i in range(3000)] == run.tree.snapshot()
    assert browser.missed == 0
    assert max(browser.sizes) <= view.ROWS


def test_rows_wait_when_too_many_were_sent_already(run: Run, explorer: Explorer, browser: Browser) -> None:
    ask(explorer, type="hello")
    explorer._credit = 10.0
    explorer._patch()
    explorer._patch()
    assert browser.sizes == [view.ROWS, 10]
    explorer._credit = 5000.0
    while run.tree.pending:
        explorer._patch()
    assert len(browser.rows) == 3000


def test_browsers_that_keep_saying_hello_get_no_more_than_a_server_lets_through(
    run: Run, explorer: Explorer, browser: Browser
) -> None:
    for _ in range(30):
        ask(explorer, type="hello")
        explorer._patch()
    assert sum(browser.sizes) <= view.BURST
    assert max(browser.sizes) <= view.ROWS
    assert explorer._credit >= 0
    explorer._credit = 5000.0
    while run.tree.pending:
        explorer._patch()
    assert len(browser.rows) == 3000


def test_a_page_that_stays_has_every_row_when_the_run_is_over(run: Run, explorer: Explorer, browser: Browser) -> None:
    ask(explorer, type="hello", page="one")
    ask(explorer, type="hello", page="two")
    explorer.replace(lambda: None)
    assert len(browser.rows) == 3000
    assert (browser.ended, browser.others) == ([True], [])


def test_a_browser_that_comes_back_catches_up(run: Run, explorer: Explorer) -> None:
    first = Browser()
    explorer._channel = first
    ask(explorer, type="hello")
    explorer._patch()
    second = Browser()
    explorer._channel = second
    run.succeed("5")
    ask(explorer, type="hello")
    while run.tree.pending:
        explorer._patch()
    assert second.rows[5]["s"] == "SUCCEEDED"
    assert len(second.rows) == 3000
    assert first.rows[5]["s"] == "RUNNING"


def test_requests_name_rows_and_reach_actions(
    explorer: Explorer, browser: Browser, cancelled: list[str | None]
) -> None:
    ask(explorer, type="detail", i=7)
    ask(explorer, type="cancel", i=7)
    ask(explorer, type="cancel")
    assert browser.others == [{"type": "detail", "i": 7, "detail": {"id": "7"}}]
    assert cancelled == ["7", None]


@pytest.mark.parametrize("index", [-1, 3000, "7", 7.0, True, None, [7]])
def test_requests_for_rows_that_are_not_there_are_ignored(
    explorer: Explorer, browser: Browser, cancelled: list[str | None], index: Any
) -> None:
    ask(explorer, type="detail", i=index)
    if index is not None:
        ask(explorer, type="cancel", i=index)
    explorer._asked("cancel")
    assert browser.others == []
    assert cancelled == []


def test_a_view_that_cannot_be_made_costs_the_run_nothing(shell: Shell, monkeypatch) -> None:
    def broken(*_: Any) -> Any:
        raise FileNotFoundError("widget.js")

    monkeypatch.setattr(frontend, "view_kind", lambda _: ("widget", "pretended"))
    monkeypatch.setattr(widget, "WidgetChannel", broken)
    outcome = shell.ok("%%flyte\n@env.task\nasync def one() -> int:\n    return 1\nawait one()")
    assert outcome.result == 1
    assert "one · SUCCEEDED · 1 action" in outcome.printed
    assert outcome.complained.count("\n") == 1
    assert "no live view: FileNotFoundError: widget.js" in outcome.complained


def test_a_finished_tree_that_cannot_be_shown_costs_the_run_nothing(shell: Shell, monkeypatch, caplog) -> None:
    from flyte_notebook.notebook import finished

    def broken(*_: Any) -> None:
        raise RuntimeError("no display")

    monkeypatch.setattr(finished, "show", broken)
    assert shell.result("%%flyte\n@env.task\nasync def one() -> int:\n    return 1\nawait one()") == 1
    assert "cannot be shown" in caplog.text


def test_details_looked_up_and_details_collected_are_the_same(shell: Shell) -> None:
    shell.run(
        """%%flyte
@env.task(retries=1)
async def shaky(x: int) -> int:
    print("trying", x)
    if x > 1:
        raise ValueError(f"{x} is too much")
    return x
@env.task(report=True)
async def main(names: list[str]) -> dict[str, int]:
    await flyte.report.replace.aio("<b>done</b>")
    await flyte.report.flush.aio()
    return {name: await shaky(i) for i, name in enumerate(names)}
await main(["a", "b", "c"])
"""
    )
    store = open_store()
    (run,) = flyte_notebook.runs()
    actions = run.actions()
    assert [action.phase for action in actions] == ["FAILED", "SUCCEEDED", "SUCCEEDED", "FAILED"]
    collected = collect(store.journal.replay(run.name), {action.id for action in actions})
    for action in actions:
        found = detail(look_up(store, run.name, action.id, action.task_name), store)
        assert detail(collected[action.id], store) == found
    assert "<b>done</b>" in (found := detail(collected[actions[0].id], store))["report"]
    assert found["inputs"][0]["name"] == "names"
    failed = detail(collected[actions[-1].id], store)
    assert [attempt["phase"] for attempt in failed["attempts"]] == ["FAILED", "FAILED"]
    assert failed["error"]["message"] == "2 is too much"
    assert failed["log"] == [{"stream": "stdout", "text": "trying 2\ntrying 2\n"}]


def test_an_attempt_lasts_as_long_looked_up_as_collected():
    """Whether its times are those of the record, in whole microseconds, or the clock's own, which are finer."""
    for step in range(1_000):
        begin = 1_700_000_000 + step / 2**22
        end = begin + 0.00005
        recorded = (dt.datetime.fromtimestamp(at, dt.UTC).timestamp() for at in (begin, end))
        material = [Material("a", attempts=[Tried(1, Phase.SUCCEEDED, *times)]) for times in ((begin, end), recorded)]
        collected, found = (detail(each, open_store())["attempts"] for each in material)
        assert collected == found


def test_details_say_where_a_result_came_from_or_why_it_was_made_again(shell: Shell) -> None:
    cell = """%%flyte
def clean(x): return x + {0}
@env.task(cache="auto")
async def step(x: int) -> int:
    return clean(x)
@env.task
async def main(x: int) -> int:
    return await step(x)
await main(1)
"""
    for step in (1, 1, 2):
        shell.ok(cell.format(step))
    store = open_store()
    third, second, first = flyte_notebook.runs()
    told = {}
    for run in (first, second, third):
        found = [detail(look_up(store, run.name, a.id, a.task_name), store) for a in run.actions()]
        collected = collect(store.journal.replay(run.name), {action.id for action in run.actions()})
        assert [detail(collected[action.id], store) for action in run.actions()] == found
        told[run.name] = [each["reuse"] for each in found]
    assert told == {
        first.name: [None, "ran: no success of an earlier run is there to reuse (looked at 200 runs)"],
        second.name: [None, f"cached, from run {first.name}"],
        third.name: [None, f"ran again: helper clean() changed (since run {first.name})"],
    }
    store.journal.delete([first.name])
    assert detail(look_up(store, second.name, second.actions()[1].id, ""), store)["reuse"].startswith("cached, from")
    gone = look_up(store, third.name, third.actions()[1].id, "")
    store.journal.delete([third.name])
    assert detail(gone, store)["reuse"] is None
