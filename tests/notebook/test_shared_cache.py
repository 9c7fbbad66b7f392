"""The cache between real kernels of different notebooks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.notebook.kernels import RUN_MIME, Kernel, kernel

CACHED = """%%flyte shared{options}
FACTOR = {factor}

def clean(x):
    return x * FACTOR

@env.task{cache}
async def step(x: int, note: str = "") -> int:
    return clean(x)

await step(3, note="{note}")
"""


def cached_cell(factor: int = 2, cache: str = '(cache="auto")', note: str = "", options: str = "") -> str:
    return CACHED.format(factor=factor, cache=cache, note=note, options=options)


def reused(kernel: Kernel, code: str) -> bool:
    """Whether the cell's one action was reused, and the result the right one for its factor."""
    cell = kernel.run(code)
    assert cell.status == "ok", cell.traceback
    (saved,) = cell.displays(RUN_MIME)
    (row,) = saved["rows"]
    return bool(row.get("c"))


@pytest.fixture(scope="module")
def two_kernels(tmp_path_factory) -> Iterator[tuple[Kernel, Kernel]]:
    """Two notebooks with one store."""
    home = str(tmp_path_factory.mktemp("shared-home"))
    with (
        kernel(FLYTE_NOTEBOOK_HOME=home, JPY_SESSION_NAME="one.ipynb") as one,
        kernel(FLYTE_NOTEBOOK_HOME=home, JPY_SESSION_NAME="two.ipynb") as two,
    ):
        yield one, two


def test_what_one_kernel_has_done_another_one_reuses_while_the_code_is_the_same(
    two_kernels: tuple[Kernel, Kernel],
) -> None:
    one, two = two_kernels
    assert not reused(one, cached_cell())
    assert reused(two, cached_cell())
    # A comment is no change, a captured value is; each version stays good for whoever has it.
    assert reused(two, cached_cell().replace("return clean(x)", "return clean(x)  # as it was"))
    assert not reused(two, cached_cell(factor=5))
    assert reused(one, cached_cell(factor=5))
    assert reused(one, cached_cell())


@pytest.mark.parametrize(
    ("first", "second", "hit"),
    [
        ({"cache": '(cache=flyte.Cache("auto", salt="a"))'}, {"cache": '(cache=flyte.Cache("auto", salt="a"))'}, True),
        ({"cache": '(cache=flyte.Cache("auto", salt="b"))'}, {"cache": '(cache=flyte.Cache("auto", salt="c"))'}, False),
        ({"cache": '(cache=flyte.Cache("auto", version_override="v1"))'},
         {"cache": '(cache=flyte.Cache("auto", version_override="v1"))', "factor": 7}, True),
        ({"cache": '(cache=flyte.Cache("auto", version_override="v2"))'},
         {"cache": '(cache=flyte.Cache("auto", version_override="v3"))'}, False),
        ({"cache": '(cache=flyte.Cache("auto", ignored_inputs="note", salt="i"))', "note": "morning"},
         {"cache": '(cache=flyte.Cache("auto", ignored_inputs="note", salt="i"))', "note": "evening"}, True),
        ({"note": "morning"}, {"note": "evening"}, False),
        ({"factor": 11, "cache": '(cache="override")'}, {"factor": 11}, True),
        ({"factor": 12}, {"factor": 12, "cache": '(cache="override")'}, False),
        ({"factor": 13}, {"factor": 13, "cache": '(cache="disable")'}, False),
        ({"factor": 14, "cache": '(cache="disable")'}, {"factor": 14}, False),
        ({"factor": 15, "cache": "", "options": " --cache auto"}, {"factor": 15}, True),
    ],
)  # fmt: skip
def test_declarations_mean_the_same_in_another_kernel(
    two_kernels: tuple[Kernel, Kernel], first: dict[str, Any], second: dict[str, Any], hit: bool
) -> None:
    one, two = two_kernels
    assert not reused(one, cached_cell(**first))
    assert reused(two, cached_cell(**second)) is hit


def test_two_kernels_that_run_a_serialized_cell_at_once_run_it_once(two_kernels: tuple[Kernel, Kernel]) -> None:
    code = cached_cell(factor=16, cache='(cache=flyte.Cache("auto", serialize=True))')
    code = code.replace(
        "    return clean(x)\n", "    import asyncio\n    await asyncio.sleep(0.5)\n    return clean(x)\n"
    )
    cells = [kernel.start(code) for kernel in two_kernels]
    rows = [
        kernel.finish(cell).displays(RUN_MIME)[0]["rows"][0] for kernel, cell in zip(two_kernels, cells, strict=True)
    ]
    assert sorted(bool(row.get("c")) for row in rows) == [False, True]
    assert {row["v"] for row in rows} == {"48"}
