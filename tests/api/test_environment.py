"""Environments and the options of tasks: what is accepted, inherited, overridden and rejected follows the SDK."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from flyte_notebook.api.declare import Cache, Image, Resources, RetryStrategy, ReusePolicy, Secret, Timeout
from flyte_notebook.api.environment import TaskEnvironment
from flyte_notebook.api.options import TaskOptions


async def double(x: int) -> int:
    """Twice as much."""
    return 2 * x


def triple(x: int) -> int:
    return 3 * x


class Spark:
    """The configuration of some plugin."""


@pytest.mark.parametrize("name", ["a", "my-env", "my_env", "env-2", "2-env"])
def test_snake_case_and_kebab_case_names_are_accepted(name):
    assert TaskEnvironment(name).name == name


@pytest.mark.parametrize("name", ["", "Bad", "a b", "a--b", "-a", "a_", "ä", "a\n"])
def test_other_names_are_rejected(name):
    with pytest.raises(ValueError) as caught:
        TaskEnvironment(name)
    assert str(caught.value) == f"Environment name '{name}' must be in snake_case or kebab-case format."


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"image": 5}, "Expected image to be of type str or Image, got <class 'int'>"),
        ({"secrets": 5}, "Expected secrets to be of type SecretRequest, got <class 'int'>"),
        ({"service_account": 5}, "Expected service_account to be of type str, got <class 'int'>"),
        ({"depends_on": ["x"]}, "Expected depends_on to be of type List[Environment], got <class 'str'>"),
        ({"resources": "1Gi"}, "Expected resources to be of type Resources, got <class 'str'>"),
        ({"env_vars": "A=b"}, "Expected env_vars to be of type Dict[str, str], got <class 'str'>"),
        ({"pod_template": 5}, "Expected pod_template to be of type str or PodTemplate, got <class 'int'>"),
        ({"include": "a.txt"}, "Expected include to be a sequence of str paths, got a bare str ('a.txt')."),
        ({"include": 5}, "Expected include to be a sequence of str paths, got <class 'int'>"),
        ({"include": ["a", 5]}, "include entries must be str, got <class 'int'>"),
        ({"reusable": "x"}, "Expected reusable to be of type ReusePolicy, got <class 'str'>"),
        ({"cache": 5}, "Expected cache to be of type str or Cache, got <class 'int'>"),
        ({"name": 5}, "Expected name to be of type str, got <class 'int'>"),
    ],
)
def test_a_declaration_of_the_wrong_type_is_named(wrong, message):
    with pytest.raises(TypeError) as caught:
        TaskEnvironment(**{"name": "env", **wrong})
    assert str(caught.value) == message


def test_a_plugin_and_reuse_exclude_each_other():
    with pytest.raises(ValueError, match=r"Cannot set plugin_config when environment is reusable\."):
        TaskEnvironment("env", reusable=ReusePolicy(), plugin_config=Spark())


def test_a_long_description_is_cut():
    description = TaskEnvironment("env", description="x" * 300).description
    assert (len(description), description[-8:]) == (255, "...(tr.)")


class TestDependencies:
    def test_are_added_once(self):
        env, other = TaskEnvironment("env"), TaskEnvironment("other")
        env.add_dependency(other)
        env.add_dependency(other, TaskEnvironment("third"))
        assert [e.name for e in env.depends_on] == ["other", "third"]

    def test_on_oneself_are_rejected(self):
        env = TaskEnvironment("env")
        with pytest.raises(ValueError, match="Cannot add self as a dependency"):
            env.add_dependency(env)

    def test_on_something_else_are_rejected(self):
        with pytest.raises(TypeError, match="Expected Environment, got <class 'str'>"):
            TaskEnvironment("env").add_dependency("other")

    def test_of_a_clone_are_its_own(self):
        env = TaskEnvironment("env")
        env.clone_with("clone").add_dependency(TaskEnvironment("other"))
        assert env.depends_on == []


class TestClones:
    def test_share_declarations_and_no_tasks(self):
        env = TaskEnvironment("env", cache="auto", queue="fast", interruptible=True, include=("a.txt",))
        env.task(double)
        clone = env.clone_with("clone", env_vars={"A": "b"})
        assert (clone.name, clone.cache, clone.queue, clone.interruptible) == ("clone", "auto", "fast", True)
        assert (clone.include, clone.env_vars, clone.tasks) == (("a.txt",), {"A": "b"}, {})
        assert list(env.tasks) == ["env.double"]

    def test_can_leave_reuse_behind(self):
        assert TaskEnvironment("env", reusable=ReusePolicy()).clone_with("clone", reusable=None).reusable is None

    def test_are_checked(self):
        with pytest.raises(ValueError, match="Environment name 'Clone'"):
            TaskEnvironment("env").clone_with("Clone")
        with pytest.raises(TypeError, match=r"Unexpected keyword arguments: \['nope'\]"):
            TaskEnvironment("env").clone_with("clone", nope=1)


class TestTasks:
    def test_are_made_with_or_without_options(self):
        env = TaskEnvironment("env")
        bare, named = env.task(double), env.task(short_name="thrice")(triple)
        assert (bare.name, bare.short_name, bare.func) == ("env.double", "double", double)
        assert (named.name, named.short_name, named.func) == ("env.triple", "thrice", triple)
        assert env.tasks == {"env.double": bare, "env.triple": named}
        assert bare.parent_env() is env
        assert bare.parent_env_name == "env"

    def test_defined_again_replace_the_earlier_one(self):
        env = TaskEnvironment("env")
        env.task(double)
        again = env.task(retries=2)(double)
        assert env.tasks == {"env.double": again}

    def test_inherit_what_they_do_not_declare(self):
        env = TaskEnvironment("env", cache="auto", queue="slow", interruptible=True, resources=Resources(cpu=2))
        task = env.task(double)
        assert (task.cache.behavior, task.queue, task.interruptible, task.resources.cpu) == ("auto", "slow", True, 2)
        own = env.task(cache="disable", queue="fast", interruptible=False)(double)
        assert (own.cache.behavior, own.queue, own.interruptible) == ("disable", "fast", False)

    @pytest.mark.parametrize(
        ("environment", "cache", "declared"),
        [("disable", None, False), ("auto", None, True), ("disable", "disable", True), ("disable", "auto", True)],
    )
    def test_know_whether_a_cache_was_declared(self, environment, cache, declared):
        task = TaskEnvironment("env", cache=environment).task(cache=cache)(double)
        assert task.options.declares_cache is declared

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"nope": 1}, TypeError, "nope"),
            ({"retries": 1.5}, ValueError, "retries must be an int (a retry count) or a flyte.RetryStrategy, got 1.5"),
            ({"cache": "always"}, ValueError, "Invalid cache behavior: 'always'"),
            ({"timeout": "5s"}, ValueError, "Timeout must be an instance of Timeout, int, or timedelta."),
            ({"service_account": 5}, TypeError, "Expected service_account to be of type str, got <class 'int'>"),
        ],
    )
    def test_are_not_made_with_wrong_options(self, options, error, message):
        env = TaskEnvironment("env")
        with pytest.raises(error) as caught:
            env.task(**options)(double)
        assert message in str(caught.value)
        assert env.tasks == {}

    @pytest.mark.parametrize("thing", [5, int, "double", TaskEnvironment("env").task(double)])
    def test_are_made_of_functions_only(self, thing):
        with pytest.raises(TypeError, match=r"env\.task makes a task of a function, got"):
            TaskEnvironment("env").task(thing)

    def test_of_plugins_are_rejected(self):
        with pytest.raises(ValueError, match="No task plugin found for config type"):
            TaskEnvironment("env", plugin_config=Spark()).task(double)

    def test_of_a_reusable_environment_are_held_to_it(self):
        env = TaskEnvironment("env", reusable=ReusePolicy(concurrency=2), service_account="me")
        with pytest.raises(ValueError, match=r"Cannot set pod_template when environment is reusable\."):
            env.task(pod_template="x")
        with pytest.raises(ValueError, match=r"Cannot override service_account when environment is reusable\."):
            env.task(service_account="you")
        with pytest.raises(ValueError, match="are only supported for async tasks"):
            env.task(triple)
        assert env.task(service_account="me")(double).service_account == "me"


class TestOverride:
    def options(self, **declared) -> TaskOptions:
        return TaskOptions(short_name="double", **declared)

    def test_changes_only_what_it_names(self):
        options = self.options(retries=3, cache="auto")
        changed = options.override(short_name="again", queue="fast")
        assert (changed.short_name, changed.queue) == ("again", "fast")
        assert (changed.retries, changed.cache) == (options.retries, options.cache)
        assert (options.short_name, options.queue) == ("double", None)

    def test_normalises_what_it_is_given(self):
        changed = self.options().override(retries=2, cache="enable", timeout=timedelta(seconds=5))
        assert changed.retries == RetryStrategy(2)
        assert changed.cache == Cache("auto")
        assert changed.declares_cache
        assert changed.timeout_seconds == 5.0

    def test_can_take_retries_and_timeouts_away(self):
        changed = self.options(retries=3, timeout=5).override(retries=0, timeout=0)
        assert (changed.retries.count, changed.timeout_seconds) == (0, None)

    def test_of_none_leaves_a_thing_as_it_is(self):
        assert self.options(retries=3, queue="q").override(retries=None, queue=None).retries.count == 3

    @pytest.mark.parametrize("name", ["name", "image", "docs", "interface"])
    def test_of_what_makes_the_task_is_rejected(self, name):
        with pytest.raises(ValueError) as caught:
            self.options().override(**{name: "x"})
        assert str(caught.value) == f"{name.capitalize()} cannot be overridden"

    @pytest.mark.parametrize("name", ["nope", "declares_cache", "timeout_seconds"])
    def test_of_what_does_not_exist_is_a_type_error(self, name):
        with pytest.raises(TypeError, match=f"unexpected keyword argument '{name}'"):
            self.options().override(**{name: 1})

    def test_of_a_plugin_is_rejected(self):
        with pytest.raises(ValueError, match="No task plugin found for config type"):
            self.options().override(plugin_config=Spark())

    @pytest.mark.parametrize(
        ("change", "word"),
        [
            ({"resources": Resources(cpu=1)}, "resources"),
            ({"env_vars": {"A": "b"}}, "env"),
            ({"secrets": "s"}, "secrets"),
            ({"service_account": "a"}, "service_account"),
        ],
    )
    def test_of_what_reuse_fixes_needs_reuse_off(self, change, word):
        options = self.options(reusable=ReusePolicy())
        with pytest.raises(ValueError) as caught:
            options.override(**change)
        assert str(caught.value) == (
            f"Cannot override {word} when reusable is set. Reusable tasks will use the parent env's {word}. "
            f"You can disable reusability and override {word} if needed. (set reusable='off')"
        )
        changed = options.override(reusable="off", **change)
        assert changed.reusable is None
        assert changed.declarations().keys() >= change.keys()


class TestDeclarations:
    def test_of_a_plain_task_are_its_name(self):
        assert TaskEnvironment("env").task(double).declarations() == {"short_name": "double"}

    def test_are_json_in_their_short_form(self):
        env = TaskEnvironment(
            "env",
            image=Image.from_debian_base().with_pip_packages("pandas"),
            resources=Resources(cpu=1, memory="1Gi"),
            secrets=[Secret("key"), "other"],
            env_vars={"TOKEN": "hunter2"},
        )
        task = env.task(cache="auto", retries=3, timeout=60, docs="Twice.", report=True)(double)
        declared = json.loads(json.dumps(task.declarations()))
        assert declared == {
            "short_name": "double",
            "image": "from_debian_base(install_flyte=True).with_pip_packages('pandas')",
            "resources": {"cpu": 1, "memory": "1Gi"},
            "secrets": [{"key": "key", "as_env_var": "KEY"}, "other"],
            "env_vars": ["TOKEN"],
            "cache": "auto",
            "retries": 3,
            "timeout": "60 s",
            "docs": "Twice.",
            "report": True,
        }

    def test_show_the_long_form_where_there_is_more_to_say(self):
        declared = TaskOptions(
            short_name="t", cache=Cache("auto", version_override="2"), timeout=Timeout(max_runtime=5, deadline=9)
        ).declarations()
        assert declared["cache"] == {"behavior": "auto", "version_override": "2"}
        assert declared["timeout"] == {"max_runtime": 5, "deadline": 9}
