"""Each block of the guide in a real kernel: in `%%flyte` cells, and in plain cells under this package's own name."""

from __future__ import annotations

import pytest

from flyte_notebook.testing import RUN_MIME
from tests.guide.sections import SECTIONS

FOR_EACH_SECTION = pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.name)


def results(outputs):
    """What a cell shows as its value, read back, and the first lines of the trees that it draws."""
    trees = [output.data["text/plain"].splitlines()[0] for output in outputs if RUN_MIME in output.get("data", ())]
    values = [output.data["text/plain"] for output in outputs if output.output_type == "execute_result"]
    return [eval(value, {}) for value in values], trees


def expect_run(kernel, call, before):
    expected = {"value": None, "runs": before + 1, "phase": "SUCCEEDED", "actions": call.actions}
    assert kernel.observed() == expected


def count_runs(kernel):
    return int(kernel.run("import flyte_notebook\nprint(len(flyte_notebook.runs()))")[0].text)


def title(call):
    name = call.actions[0].partition(":")[0]
    number = len(call.actions)
    return f"{name} · SUCCEEDED · {number} action{'s' if number > 1 else ''}"


@FOR_EACH_SECTION
def test_a_flyte_cell_runs_a_block_as_it_stands_there_and_the_call_below_it(kernel, section):
    for block in section.blocks:
        if not block.calls:
            assert kernel.run(f"%%flyte\n{block.source}") == []
        for call in block.calls:
            before = count_runs(kernel)
            outputs = kernel.run(f"%%flyte\n{block.source}\n{call.awaited}")
            assert results(outputs) == ([call.value], [title(call)])
            expect_run(kernel, call, before)


@FOR_EACH_SECTION
def test_a_later_cell_calls_what_an_earlier_one_defined(kernel, section):
    for block in section.blocks:
        assert kernel.run(f"%%flyte\n{block.source}") == []
        for call in block.calls:
            before = count_runs(kernel)
            assert results(kernel.run(f"%%flyte\n{call.awaited}")) == ([call.value], [title(call)])
            expect_run(kernel, call, before)


@FOR_EACH_SECTION
def test_a_plain_cell_does_the_same_under_this_packages_own_name(kernel, section):
    for block in section.blocks:
        kernel.run(block.source.replace("import flyte\n", "import flyte_notebook as flyte\n"))
        for call in block.calls:
            before = count_runs(kernel)
            assert results(kernel.run(call.run)) == ([call.value], [title(call)])
            expect_run(kernel, call, before)
            awaited = call.run.replace("flyte.run(", "(await flyte.run.aio(").replace(".outputs()", ").outputs()")
            assert results(kernel.run(awaited)) == ([call.value], [title(call)])
            expect_run(kernel, call, before + 1)


def test_the_definitions_of_the_flyte_cells_did_not_bring_the_sdk_in(kernel):
    (output,) = kernel.run("import sys\nprint('flyte' in sys.modules)")
    assert output.text == "False\n"
