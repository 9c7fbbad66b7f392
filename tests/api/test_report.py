"""Reports of tasks: HTML, in tabs, on record with the action, in a notebook and anywhere else."""

from __future__ import annotations

from datetime import timedelta

import pytest

import flyte_notebook as flyte
from flyte_notebook import report
from flyte_notebook.record import events
from flyte_notebook.record.store import open_store

env = flyte.TaskEnvironment("reports")


def reports(run, short_name: str) -> list[str]:
    """The reports on record for the action of that name, oldest first."""
    (action,) = [action for action in run.actions() if action.short_name == short_name]
    return [note.text for note in open_store().journal.notes(run.name, action.id) if note.kind == "report"]


def test_what_was_written_is_on_record_when_the_task_ends():
    @env.task(report=True)
    async def write() -> None:
        report.log("<b>one</b>")
        await report.log.aio("<b>two</b>")

    (html,) = reports(flyte.run(write), "write")
    assert "<b>one</b>\n<b>two</b>" in html
    assert "<nav>" not in html


def test_a_flush_shows_it_at_once_and_the_end_only_what_is_new():
    shown = []
    unsubscribe = events.live.subscribe(lambda event: shown.append(event) if isinstance(event, events.Noted) else None)

    @env.task(report=True)
    def write() -> int:
        report.replace("first")
        report.replace("second", do_flush=True)
        return len(shown)

    run = flyte.run(write)
    unsubscribe()
    assert run.outputs()[0] == len(shown) == 1
    assert reports(run, "write") == [shown[0].text]
    assert "second" in shown[0].text
    assert "first" not in shown[0].text


def test_a_report_is_recorded_also_when_the_task_fails():
    @env.task(report=True)
    async def write() -> None:
        report.append("so far")
        raise ValueError("no further")

    @env.task
    async def main() -> None:
        with pytest.raises(flyte.errors.RuntimeUserError, match="no further"):
            await write()

    assert "so far" in reports(flyte.run(main), "write")[0]


def test_helpers_traces_and_threads_write_to_the_report_of_the_task():
    @flyte.trace
    async def traced() -> None:
        report.get_tab("traced").log("T")

    def helper() -> None:
        report.get_tab("helper").log("H")

    @env.task(report=True)
    async def write() -> None:
        import asyncio

        await asyncio.gather(traced(), asyncio.to_thread(helper), asyncio.create_task(report.log.aio("M")))

    (html,) = reports(flyte.run(write), "write")
    for piece in ("<section>M</section>", ">traced</label><section>T</section>", ">helper</label><section>H</section>"):
        assert piece in html


def test_actions_have_reports_of_their_own():
    @env.task(report=True)
    async def child() -> None:
        report.log("of the child")

    @env.task(report=True)
    async def parent() -> None:
        report.log("of the parent")
        await child()

    run = flyte.run(parent)
    assert "of the parent" not in reports(run, "child")[0]
    assert "of the child" not in reports(run, "parent")[0]


def test_each_attempt_begins_a_new_report():
    attempts = []

    @env.task(report=True, retries=flyte.RetryStrategy(1, flyte.Backoff(timedelta(0))))
    async def flaky() -> None:
        attempts.append(report.current_report())
        report.log(f"attempt {len(attempts)}")
        if len(attempts) == 1:
            raise OSError("lost")

    (html,) = reports(flyte.run(flaky), "flaky")
    assert "attempt 2" in html
    assert "attempt 1" not in html


def test_outside_a_task_reports_go_nowhere_and_harm_nothing():
    report.log("x", do_flush=True)
    report.flush()
    assert not report.current_report().has_content()


def test_tabs_are_made_when_they_are_asked_for():
    page = report.Report("r")
    page.get_tab("extra").replace("x")
    assert page.get_tab("extra", create_if_missing=False).get_html() == "x"
    with pytest.raises(ValueError, match=r"Tab missing does not exist\."):
        page.get_tab("missing", create_if_missing=False)
    with pytest.raises(ValueError, match=r"Tab missing does not exist\."):
        report.get_tab("missing", create_if_missing=False)


def test_names_are_escaped_and_no_scripts_are_needed():
    page = report.Report("<script>")
    page.get_tab("<img>").log("body")
    html = page.get_final_report()
    assert "<script>" not in html
    assert "&lt;img&gt;" in html
    assert "<img>" not in html
