"""The programs of Flyte's guide, section by section: the blocks, the calls, and what must come of them."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROGRAMS = Path(__file__).with_name("programs")


@dataclass(frozen=True)
class Call:
    """A call of a task that stands in the blocks."""

    task: str
    arguments: str
    value: Any
    tree: str
    """`short name: task name in group`, a line for each action, indented under its caller."""
    is_async: bool = True

    @property
    def awaited(self) -> str:
        """The call as it is typed in a cell."""
        return f"{'await ' if self.is_async else ''}{self.task}({self.arguments})"

    @property
    def run(self) -> str:
        """The call as a run of its own."""
        return f"flyte.run({', '.join(filter(None, (self.task, self.arguments)))}).outputs()[0]"

    @property
    def actions(self) -> list[str]:
        return textwrap.dedent(self.tree).strip().splitlines()


@dataclass(frozen=True)
class Block:
    """One program block of the guide, typed exactly as it stands there, and the calls that it makes possible."""

    file: str
    calls: tuple[Call, ...] = ()

    @property
    def source(self) -> str:
        return (PROGRAMS / f"{self.file}.py").read_text()


@dataclass(frozen=True)
class Section:
    """Blocks that belong together: later ones use what earlier ones define."""

    name: str
    blocks: tuple[Block, ...]


SECTIONS = (
    Section(
        "task forwarding",
        (
            Block(
                "forwarding",
                (
                    Call(
                        "outer_task",
                        "x=1",
                        12,
                        """
                        outer_task: my-env.outer_task
                          inner_task: my-env.inner_task
                        """,
                    ),
                ),
            ),
            Block(
                "forwarding_sync",
                (
                    Call(
                        "sync_outer_task",
                        "x=1",
                        12,
                        """
                        sync_outer_task: my-env.sync_outer_task
                          sync_inner_task: my-env.sync_inner_task
                        """,
                        is_async=False,
                    ),
                ),
            ),
        ),
    ),
    Section(
        "tasks and functions as arguments",
        (
            Block(
                "arguments",
                (
                    Call(
                        "main",
                        "",
                        [6, 7],
                        """
                        main: udfs.main
                          run_udf: udfs.run_udf
                            add_one_udf: udfs.add_one_udf
                          run_udf: udfs.run_udf
                        """,
                    ),
                ),
            ),
        ),
    ),
    Section(
        "custom action names",
        (
            Block("short_names"),
            Block(
                "short_names_override",
                (
                    Call(
                        "main",
                        "",
                        "Hello, Flyte!Hello, Flyte!",
                        """
                        entrypoint: friendly_names.main
                          my_task: friendly_names.some_task
                          my_name: friendly_names.some_task
                        """,
                    ),
                ),
            ),
        ),
    ),
    Section(
        "async functions from sync tasks",
        (
            Block(
                "async_in_sync",
                (Call("sync_task", "", "done", "sync_task: async_in_sync.sync_task", is_async=False),),
            ),
        ),
    ),
    Section(
        "sync tasks from async tasks",
        (
            Block(
                "sync_from_async",
                (
                    Call(
                        "async_task",
                        "3",
                        "Processed 3",
                        """
                        async_task: mixed-tasks.async_task
                          sync_task: mixed-tasks.sync_task
                        """,
                    ),
                ),
            ),
        ),
    ),
    Section(
        "map over sync tasks",
        (
            Block(
                "map_aio",
                (
                    Call(
                        "async_main",
                        "4",
                        ["Task 0", "Task 1", "Task 2", "Task 3"],
                        """
                        async_main: map-example.async_main
                          sync_process: map-example.sync_process in map-example.sync_process_map
                          sync_process: map-example.sync_process in map-example.sync_process_map
                          sync_process: map-example.sync_process in map-example.sync_process_map
                          sync_process: map-example.sync_process in map-example.sync_process_map
                        """,
                    ),
                ),
            ),
        ),
    ),
    Section(
        "anyio",
        (
            Block(
                "anyio_group",
                (
                    Call(
                        "batch_process",
                        "[1, 2, 3]",
                        [2, 4, 6],
                        """
                        batch_process: anyio_example.batch_process
                          process_item: anyio_example.process_item
                          process_item: anyio_example.process_item
                          process_item: anyio_example.process_item
                        """,
                    ),
                ),
            ),
        ),
    ),
)
