"""Tasks of the real SDK in our runs. A package of that name and shape stands for the SDK, which is no test dependency."""

from __future__ import annotations

import sys
import textwrap

import pytest

import flyte_notebook
from flyte_notebook import errors
from flyte_notebook.api import sdk
from tests.loops import run_async

env = flyte_notebook.TaskEnvironment("mine")


@pytest.fixture
def helper(tmp_path, monkeypatch):
    """Imports a module whose tasks are the SDK's."""
    package = tmp_path / "flyte"
    package.mkdir()
    (package / "__init__.py").write_text("from flyte._task import TaskTemplate")
    (package / "_task.py").write_text(
        textwrap.dedent("""
            class TaskTemplate:
                def __init__(self, func):
                    self.func, self.name = func, f"env.{func.__name__}"
                def __call__(self, *args, **kwargs):
                    return self.func(*args, **kwargs)
                async def aio(self, *args, **kwargs):
                    return self.func(*args, **kwargs)
        """)
    )
    (tmp_path / "steps.py").write_text("import flyte\n\n@flyte.TaskTemplate\ndef step(x):\n    return x + 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    def load():
        import steps

        return steps.step

    yield load
    for name in ("flyte", "flyte._task", "steps"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("early", [True, False])
def test_a_task_of_the_sdk_called_in_a_run_says_what_to_do(helper, early):
    if early:
        helper()

    with sdk.guarded():
        step = helper()

        @env.task
        async def main(x: int) -> int:
            return step(x)

        @env.task
        async def awaiting(x: int) -> int:
            return await step.aio(x)

        for task in (main, awaiting):
            with pytest.raises(errors.RuntimeUserError, match="steps imports the SDK") as caught:
                flyte_notebook.run(task, x=1)
            assert isinstance(caught.value.__cause__, TypeError)


def test_outside_a_run_it_stays_the_sdks(helper):
    with sdk.guarded():
        step = helper()
        assert step(1) == 2
        assert run_async(step.aio(1)) == 2


def test_nothing_of_the_guard_is_left_afterwards(helper):
    finders = list(sys.meta_path)
    with sdk.guarded():
        step = helper()
        during = type(step).__call__
    assert list(sys.meta_path) == finders
    assert type(step).__call__ is not during
    assert type(step).__call__.__qualname__ == "TaskTemplate.__call__"


def test_running_a_task_of_the_sdk_says_what_to_do(helper):
    with pytest.raises(TypeError, match="install_as_flyte"):
        flyte_notebook.run(helper(), 1)
