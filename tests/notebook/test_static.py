"""A finished tree as text, HTML and saved JSON: deterministic, bounded, escaped."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from flyte_notebook.notebook import saved
from flyte_notebook.notebook.detail import Material, detail
from flyte_notebook.notebook.static import html, text
from flyte_notebook.notebook.text import clip, duration
from flyte_notebook.notebook.tree import Tree
from flyte_notebook.record import events
from flyte_notebook.record.model import ErrorRecord, Phase
from flyte_notebook.record.store import open_store
from tests.notebook.sequences import RUN, TEXT, Value, event_sequences, relaxed, text_of


class Run:
    """Builds the events of a run by hand."""

    def __init__(self, name: str = RUN, step: float = 0.125, resumed_from: str | None = None) -> None:
        self.name = name
        self.clock = 1000.0
        self.step = step
        self.tree = Tree(name, text_of)
        self.apply(events.RunStarted(name, self.clock, resumed_from=resumed_from))

    def apply(self, event: events.Event) -> None:
        self.tree.apply(event)
        self.clock += self.step

    def submit(self, id: str, parent: str | None = None, name: str = "work", group: str | None = None) -> None:
        self.apply(events.ActionSubmitted(self.name, id, parent, f"env.{name}", name, group, "task", None, self.clock))
        self.apply(events.AttemptStarted(self.name, id, 1, self.clock))

    def succeed(self, id: str, value: str = "7", **flags: bool) -> None:
        self.apply(events.ActionEnded(self.name, id, Phase.SUCCEEDED, self.clock, output=Value(value), **flags))

    def fail(self, id: str, message: str = "bad row 7") -> None:
        error = ErrorRecord("ValueError", message, "user", "Traceback…", 12)
        self.apply(events.ActionEnded(self.name, id, Phase.FAILED, self.clock, error=error))

    def end(self, phase: Phase = Phase.SUCCEEDED) -> Tree:
        self.apply(events.RunEnded(self.name, phase, self.clock))
        return self.tree


def pipeline(name: str = RUN, step: float = 0.125) -> Tree:
    run = Run(name, step)
    run.submit("m", name="main")
    run.submit("a", "m", "bump")
    run.succeed("a", "4", cached=True)
    for number in range(30):
        run.submit(f"s{number}", "m", "score", "env.score_map")
        run.fail(f"s{number}") if number == 17 else run.succeed(f"s{number}", str(number))
    run.submit("z", "m", "report")
    run.succeed("z", "'done'")
    run.succeed("m", "[1, 2]")
    return run.end()


def test_the_text_shows_results_folds_what_is_many_and_keeps_failures() -> None:
    assert text(pipeline()).splitlines() == [
        "main · SUCCEEDED · 33 actions: 1 failed, 32 succeeded",
        "main = [1, 2]",
        "├─ bump [cached] = 4",
        "├─ score · 30/30",
        "│  ├─ score = 0",
        "│  ├─ score = 1",
        "│  ├─ score = 2",
        "│  ├─ score = 3",
        "│  ├─ score = 4",
        "│  ├─ score = 5",
        "│  ├─ score = 6",
        "│  ├─ score = 7",
        "│  ├─ score = 8",
        "│  ├─ score FAILED ValueError: bad row 7 (line 12)",
        "│  └─ … 20 more: 20 succeeded",
        "└─ report = 'done'",
    ]


def test_the_text_is_the_same_whatever_the_run_is_called_and_however_long_it_took() -> None:
    assert text(pipeline("main-abc123", 0.125)) == text(pipeline("main-x9y8z7", 3.0))


def test_a_run_that_resumes_another_says_which_and_how_much_it_recovered() -> None:
    run = Run(resumed_from="main-old<42>")
    for number in range(3):
        run.submit(str(number))
        run.succeed(str(number), recovered=number < 2)
    tree = run.end()
    assert text(tree).splitlines()[0] == "main-abc123 · SUCCEEDED · 3 actions · resumes main-old<42> · 2 recovered"
    assert "resumes main-old&lt;42&gt; · 2 recovered" in html(tree)
    header = saved.run_bundle(tree, {})["run"]
    assert (header["resumed_from"], header["recovered"]) == ("main-old<42>", 2)
    assert "resumed_from" not in saved.run_bundle(pipeline(), {})["run"]


def test_the_page_says_which_run_a_reused_result_is_of() -> None:
    run = Run(resumed_from="main-old")
    for number, source in enumerate(("other-<1>", "main-old")):
        run.submit(str(number))
        run.succeed(str(number), cached=not number, recovered=bool(number), source_run=source)
    tree = run.end()
    assert "SUCCEEDED · cached · from other-&lt;1&gt;<" in html(tree)
    # The header names it.
    assert "SUCCEEDED · recovered<" in html(tree)
    assert "other" not in text(tree)


def test_a_name_the_user_chose_is_kept_whole() -> None:
    assert text(pipeline("train-resnet")).startswith("train-resnet · ")


def test_a_run_that_failed_before_any_action_says_why() -> None:
    tree = Tree(RUN)
    tree.apply(events.RunStarted(RUN, 1.0))
    tree.apply(events.RunEnded(RUN, Phase.FAILED, 2.0, error=ErrorRecord("KeyError", "'x'", "user", "")))
    assert text(tree).splitlines() == [f"{RUN} · FAILED · 0 actions", "KeyError: 'x'"]
    assert "KeyError" in html(tree)


def test_two_hundred_levels_are_cut_with_a_count() -> None:
    run = Run()
    for level in range(200):
        run.submit(str(level), str(level - 1) if level else None)
    for level in reversed(range(200)):
        run.succeed(str(level))
    lines = text(run.end()).splitlines()
    assert len(lines) == 26
    assert lines[-1].endswith("└─ … 176 actions below")


class Strict(HTMLParser):
    """Fails on tags that a sanitiser would strip and on unbalanced ones."""

    allowed = frozenset({"details", "summary", "table", "thead", "tbody", "tr", "th", "td", "b", "i", "code", "pre"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words = ""

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        assert tag in self.allowed
        assert {name for name, _ in attrs} <= {"open", "align", "colspan", "style"}
        assert dict(attrs).get("style", "text-align:left") == "text-align:left"
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


@relaxed
@given(event_sequences(), TEXT)
def test_no_value_name_or_traceback_can_break_out_of_the_html(sequence: list[events.Event], nasty: str) -> None:
    tree = Tree(RUN, text_of)
    for event in sequence:
        tree.apply(event)
    fragment = html(tree, {node.index: {"error": {"traceback": nasty}} for node in tree.nodes})
    parser = Strict()
    parser.feed(fragment)
    parser.close()
    assert parser.open == []
    fragment.encode()
    text(tree).encode()


def test_html_in_a_result_is_shown_and_not_run() -> None:
    run = Run()
    run.submit("a")
    run.succeed("a", "<script>alert(1)</script>")
    fragment = html(run.end())
    assert "<code>&lt;script&gt;alert(1)&lt;/script&gt;</code>" in fragment


def test_names_begin_at_the_left_and_are_indented_by_depth_wherever_the_html_is_shown() -> None:
    fragment = html(pipeline())
    cells = re.findall(r"<t[dh]\b[^>]*>", fragment)
    # JupyterLab's own style sheet aligns cells to the right over `align`; GitHub drops styles and keeps `align`.
    assert {'align="left" style="text-align:left"' in cell for cell in cells} == {True}
    indents = [len(indent) for indent in re.findall(r"<tr><t[dh][^>]*>((?:&nbsp;)*)", fragment)]
    assert sorted(set(indents)) == [0, 4 * len("&nbsp;"), 8 * len("&nbsp;")]


def test_tracebacks_of_failures_are_in_the_html() -> None:
    run = Run()
    run.submit("a")
    run.fail("a")
    fragment = html(run.end(Phase.FAILED), {0: {"error": {"traceback": "Traceback:\n  x < y"}}})
    assert "<summary>work: ValueError: bad row 7 (line 12)</summary><pre>Traceback:\n  x &lt; y</pre>" in fragment


@relaxed
@given(event_sequences())
def test_saved_rows_are_numbered_as_drawn_with_parents_first(sequence: list[events.Event]) -> None:
    tree = Tree(RUN, text_of)
    for event in sequence:
        tree.apply(event)
    details = saved.fitting((node.index, {"task": node.task}) for node in saved.detailed(tree))
    bundle = json.loads(json.dumps(saved.run_bundle(tree, details)))
    assert [row["i"] for row in bundle["rows"]] == list(range(len(tree.nodes)))
    assert all(row.get("p", -1) < row["i"] for row in bundle["rows"])
    assert "started" not in bundle["run"]
    assert bundle["run"]["live"] is False
    assert len(bundle["details"]) == sum(row["k"] != "group" for row in bundle["rows"])


def test_concurrent_calls_save_the_same_rows_in_whatever_order_their_children_come() -> None:
    def bundle(order: list[tuple[str, str]]) -> Any:
        run = Run(step=0)
        run.submit("l", name="left")
        run.submit("r", name="right")
        for id, parent in order:
            run.submit(id, parent)
        return saved.run_bundle(run.tree, {})["rows"]

    assert bundle([("1", "l"), ("2", "r"), ("3", "l")]) == bundle([("2", "r"), ("1", "l"), ("3", "l")])


def test_a_huge_run_saves_its_failures_and_its_upper_levels_and_says_what_is_missing() -> None:
    run = Run()
    run.submit("m", name="main")
    for number in range(3000):
        run.submit(f"s{number}", "m", "score", "env.score_map")
        run.fail(f"s{number}") if number == 2900 else run.succeed(f"s{number}")
    run.submit("z", "m", "report")
    bundle = saved.run_bundle(run.end(), {})
    rows = bundle["rows"]
    assert len(rows) == saved.MAX_ROWS
    assert bundle["truncated"] == 3003 - saved.MAX_ROWS
    assert {"main", "report"} <= {row["n"] for row in rows}
    assert [row["x"] for row in rows if row.get("s") == "FAILED"] == ["ValueError: bad row 7"]
    assert [row["g"] for row in rows if row["k"] == "group"] == [{"SUCCEEDED": 2999, "FAILED": 1}]
    assert bundle["run"]["counts"] == {"ABORTED": 2, "SUCCEEDED": 2999, "FAILED": 1}


def test_a_task_whose_calls_are_left_out_says_how_many_there_were() -> None:
    run = Run()
    run.submit("m", name="main")
    for number in range(1500):
        run.submit(f"s{number}", "m", "score")
        run.succeed(f"s{number}")
    assert saved.run_bundle(run.end(), {})["rows"][0]["g"] == {"SUCCEEDED": 1500}


def test_details_are_bounded_and_failures_come_first() -> None:
    run = Run()
    for number in range(200):
        run.submit(str(number))
        run.fail(str(number)) if number >= 190 else run.succeed(str(number))
    chosen = saved.detailed(run.end())
    assert [node.index for node in chosen] == [*range(190, 200), *range(90)]
    large = saved.fitting((node.index, {"source": "x" * 100_000}) for node in chosen)
    assert list(large) == [190, 191]


@relaxed
@given(TEXT, st.integers(2, 100))
def test_clipped_text_is_one_printable_line_that_fits(value: str, limit: int) -> None:
    clipped = clip(value, limit)
    assert clipped.isprintable()
    assert len(clipped) <= limit
    assert len(clipped.encode()) <= 2 * limit + 2


def test_durations_read_naturally() -> None:
    assert [duration(ms) for ms in (0.04, 3.21, 340, 1240, 125_000, 3_725_000)] == [
        "0.0 ms",
        "3.2 ms",
        "340 ms",
        "1.24 s",
        "2 min 05 s",
        "1 h 02 min",
    ]


def test_two_decimals_of_time_are_sanitised_by_the_known_pattern() -> None:
    assert re.fullmatch(r"\d+(\.\d+)?\s?(ms|s)", duration(1240))


def test_a_detail_is_bounded_whatever_a_body_raised_printed_or_reported() -> None:
    material = Material(
        "a",
        "env.work",
        error=ErrorRecord("ValueError", "x" * 10**6, "user", "y" * 10**6),
        source="s" * 10**6,
        report="<p>" * 10**6,
        log=[("stdout", "z" * 10**6)],
    )
    shown = detail(material, open_store())
    assert len(json.dumps(shown)) < 50_000
    assert "2.9 MB" in shown["report"]
    assert saved.fitting([(0, shown)]) == {0: shown}
    material.report = "<p>" + "y" * 300_000
    shown = detail(material, open_store())
    assert shown["report"] == material.report
    kept = saved.fitting([(0, shown)])[0]
    assert kept == {**shown, "report": kept["report"]}
    assert "0.3 MB" in kept["report"]
