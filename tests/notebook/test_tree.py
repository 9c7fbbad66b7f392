"""The tree: events become rows, and patches add up to the snapshot."""

from __future__ import annotations

import json
import threading
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from flyte_notebook.notebook.tree import Tree
from flyte_notebook.record import events
from flyte_notebook.record.model import ErrorRecord, Phase
from tests.notebook.sequences import RUN, Value, event_sequences, relaxed, text_of

ROW_KEYS = {"i", "p", "id", "k", "n", "t", "s", "b", "e", "a", "c", "r", "v", "x", "l", "h"}


def submitted(
    id: str, parent: str | None = None, name: str = "work", group: str | None = None
) -> events.ActionSubmitted:
    return events.ActionSubmitted(RUN, id, parent, f"env.{name}", name, group, "task", None, 1000.0)


def tree_of(*sequence: events.Event) -> Tree:
    tree = Tree(RUN, text_of)
    tree.apply(events.RunStarted(RUN, 1000.0))
    for event in sequence:
        tree.apply(event)
    return tree


def patched(store: dict[int, Any], rows: list[Any]) -> None:
    for row in rows:
        assert row.get("p", -1) < row["i"]
        assert "p" not in row or row["p"] in store, "a parent comes before its children"
        store[row["i"]] = row


@relaxed
@given(event_sequences(), st.data())
def test_applying_the_patches_gives_the_snapshot(sequence: list[events.Event], data: st.DataObject) -> None:
    tree = Tree(RUN, text_of)
    store: dict[int, Any] = {}
    for event in sequence:
        tree.apply(event)
        if data.draw(st.booleans()):
            patched(store, tree.take(data.draw(st.none() | st.integers(0, 5))))
    while tree.pending:
        patched(store, tree.take(3))
    assert [store[i] for i in range(len(store))] == tree.snapshot()


@relaxed
@given(event_sequences(), st.integers(0, 5), st.data())
def test_a_browser_that_says_hello_late_gets_everything(
    sequence: list[events.Event], limit: int, data: st.DataObject
) -> None:
    tree = Tree(RUN, text_of)
    hello = data.draw(st.integers(0, len(sequence) - 1))
    store: dict[int, Any] = {}
    for position, event in enumerate(sequence):
        tree.apply(event)
        tree.take()
        if position == hello:
            patched(store, tree.snapshot(limit))
            patched(store, tree.take())
        elif position > hello:
            patched(store, tree.snapshot())
    assert [store[i] for i in range(len(store))] == tree.snapshot()


@relaxed
@given(event_sequences())
def test_rows_are_small_json_objects_of_the_protocol(sequence: list[events.Event]) -> None:
    tree = Tree(RUN, text_of)
    for event in sequence:
        tree.apply(event)
    for index, row in enumerate(tree.snapshot()):
        assert row["i"] == index
        assert row.keys() <= ROW_KEYS
        assert len(json.dumps(row, ensure_ascii=False, allow_nan=False).encode()) <= 1000
        assert (row["k"] == "group") == ("id" not in row) == ("s" not in row)


@relaxed
@given(event_sequences())
def test_a_replay_in_another_kernel_gives_the_same_rows(sequence: list[events.Event]) -> None:
    first, second = Tree(RUN, text_of), Tree(RUN, text_of)
    for event in sequence:
        first.apply(event)
        first.take()
    for event in sequence:
        second.apply(event)
    assert first.snapshot() == second.snapshot()
    assert first.header(2000.0, live=False) == second.header(2000.0, live=False)


def test_an_action_that_ran_shows_when_and_with_what_result() -> None:
    tree = tree_of(
        submitted("a"),
        events.AttemptStarted(RUN, "a", 1, 1000.25),
        events.ActionEnded(RUN, "a", Phase.SUCCEEDED, 1000.5, output=Value("7")),
    )
    assert tree.snapshot() == [
        {
            "i": 0,
            "id": "a",
            "k": "task",
            "n": "work",
            "t": "env.work",
            "s": "SUCCEEDED",
            "b": 250.0,
            "e": 500.0,
            "v": "7",
        }
    ]


def test_a_failed_attempt_says_when_the_next_one_starts_and_is_counted() -> None:
    error = ErrorRecord("ValueError", "bad row 7\nand more", "user", "…", 12)
    tree = tree_of(
        submitted("a"),
        events.AttemptStarted(RUN, "a", 1, 1000.0),
        events.AttemptFailed(RUN, "a", 1, Phase.FAILED, error, 0.5, 1001.0),
    )
    assert tree.snapshot()[0]["h"] == "attempt 1: ValueError: bad row 7; again in 0.5 s"
    tree.apply(events.AttemptStarted(RUN, "a", 2, 1001.5))
    assert "h" not in tree.snapshot()[0]
    tree.apply(events.ActionEnded(RUN, "a", Phase.FAILED, 1002.0, error=error))
    row = tree.snapshot()[0]
    assert (row["a"], row["s"], row["x"], row["l"]) == (2, "FAILED", "ValueError: bad row 7", 12)


def test_groups_of_one_name_under_one_parent_are_one_row_and_map_groups_get_short_labels() -> None:
    tree = tree_of(
        submitted("m", name="main"),
        submitted("a", "m", "score", "env.score_map"),
        submitted("b", "m", "score", "env.score_map"),
        submitted("c", "m", "score", "env.score_night"),
        submitted("d", "m", "load", "prep"),
        submitted("e", "m", "score", "prep"),
    )
    groups = {row["i"]: (row["n"], row["t"], row["p"]) for row in tree.snapshot() if row["k"] == "group"}
    assert list(groups.values()) == [
        ("score", "env.score_map", 0),
        ("night", "env.score_night", 0),
        ("prep", "prep", 0),
    ]
    parents = {row["id"]: groups.get(row.get("p", -1), ("",))[0] for row in tree.snapshot() if row["k"] == "task"}
    assert parents == {"m": "", "a": "score", "b": "score", "c": "night", "d": "prep", "e": "prep"}
    assert tree.header(1000.0, live=True)["total"] == 6


def test_a_reused_result_is_marked_and_has_no_attempts() -> None:
    tree = tree_of(
        submitted("a"), events.ActionEnded(RUN, "a", Phase.SUCCEEDED, 1001.0, output=Value("3"), cached=True)
    )
    row = tree.snapshot()[0]
    assert row["c"] is True
    assert "a" not in row
    assert row["b"] == row["e"] == 1000.0


def test_a_thread_that_outlives_its_action_is_shown_until_it_ends() -> None:
    tree = tree_of(
        submitted("a"),
        events.AttemptStarted(RUN, "a", 1, 1000.0),
        events.ActionEnded(RUN, "a", Phase.ABORTED, 1001.0),
        events.Noted(RUN, "a", "thread", "1 thread", 1001.0),
    )
    assert tree.snapshot()[0]["h"] == "still running in a thread"
    tree.apply(events.Noted(RUN, "a", "thread", "", 1002.0))
    assert "h" not in tree.snapshot()[0]


def test_large_results_are_previewed_at_once_and_not_kept() -> None:
    value = Value("x" * 100, size=10_000)
    tree = tree_of(submitted("a"), events.ActionEnded(RUN, "a", Phase.SUCCEEDED, 1001.0, output=value))
    assert tree.nodes[0].output == "x" * 100
    assert tree.snapshot()[0]["v"].endswith("…")


def test_rows_taken_by_one_thread_while_another_applies_miss_nothing() -> None:
    tree = tree_of(submitted("m"))
    store: dict[int, Any] = {}
    done = threading.Event()

    def apply() -> None:
        for number in range(5000):
            tree.apply(submitted(str(number), "m"))
            tree.apply(events.AttemptStarted(RUN, str(number), 1, 1000.0))
            tree.apply(events.ActionEnded(RUN, str(number), Phase.SUCCEEDED, 1001.0, output=Value("1")))
        done.set()

    thread = threading.Thread(target=apply)
    thread.start()
    while not done.is_set():
        patched(store, tree.take(100))
    thread.join()
    patched(store, tree.take())
    assert [store[i] for i in range(len(store))] == tree.snapshot()
    assert len(store) == 5001


def test_parents_come_before_children_that_changed_earlier() -> None:
    tree = tree_of(*(submitted(str(number)) for number in range(4)), submitted("child", "3"))
    tree.take()
    tree.apply(events.AttemptStarted(RUN, "child", 1, 1001.0))
    store: dict[int, Any] = {}
    patched(store, tree.snapshot(1))
    while tree.pending:
        patched(store, tree.take(1))
    assert [store[i] for i in range(5)] == tree.snapshot()


def test_no_room_for_rows_means_no_rows() -> None:
    tree = tree_of(*(submitted(str(number)) for number in range(4)))
    assert tree.take(-2) == tree.take(0) == tree.snapshot(-2) == []
    assert [row["i"] for row in tree.take()] == [0, 1, 2, 3]


def test_what_has_not_ended_ends_with_its_run():
    tree = tree_of(submitted("a"), events.RunEnded(RUN, Phase.ABORTED, 1003.0))
    (row,) = tree.snapshot()
    assert (row["s"], row["e"]) == ("ABORTED", 3000.0)
