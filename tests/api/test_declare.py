"""Declarations are checked as Flyte's SDK checks them; caches, retries and timeouts compute what the engine needs."""

from __future__ import annotations

import json
import logging
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from flyte_notebook.api.behavior import VersionParameters, timeout_of
from flyte_notebook.api.declare import (
    Backoff,
    Cache,
    PodTemplate,
    Resources,
    RetryStrategy,
    ReusePolicy,
    Secret,
    Timeout,
)
from flyte_notebook.api.describe import describe


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Cache("always"), ValueError, "Invalid cache behavior: 'always'. Must be one of"),
        (lambda: Cache("auto", salt=3), TypeError, "salt must be a string, got 3"),
        (lambda: Cache("auto", version_override=2), TypeError, "version_override must be a string, got 2"),
        (lambda: Cache("auto", max_age=-1), ValueError, "max_age must be nonnegative"),
        (lambda: Cache("auto", max_age=True), TypeError, "max_age must be an int (seconds), timedelta, or None"),
        (lambda: Cache("auto", policies=[]), ValueError, "at least one cache policy needs to be set"),
        (lambda: Backoff(timedelta(-1)), ValueError, "Backoff.base must be >= 0"),
        (lambda: Backoff(timedelta(1), factor=float("nan")), ValueError, "Backoff.factor must be a finite number"),
        (lambda: Backoff(timedelta(1), factor=0.5), ValueError, "Backoff.factor must be >= 1.0, got 0.5"),
        (lambda: Backoff(timedelta(1), factor=2.0), ValueError, "Backoff.cap is required when factor > 1.0"),
        (lambda: Backoff(timedelta(1), cap=timedelta(-1)), ValueError, "Backoff.cap must be >= 0"),
        (lambda: RetryStrategy(1.5), ValueError, "RetryStrategy.count must be an int (a retry count), got 1.5"),
        (lambda: RetryStrategy(-2), ValueError, "RetryStrategy.count must be greater than or equal to 0, got -2"),
        (lambda: Timeout(max_runtime=0.5), ValueError, "Timeout.max_runtime must be an int (seconds) or a timedelta"),
        (lambda: timeout_of("5"), ValueError, "Timeout must be an instance of Timeout, int, or timedelta."),
        (lambda: ReusePolicy(scope="team"), ValueError, 'scope must be "global" or "run"'),
        (lambda: ReusePolicy(replicas=None), ValueError, "replicas cannot be None"),
        (lambda: ReusePolicy(replicas=(1, 2, 3)), ValueError, "replicas must be an int or a tuple of two ints"),
        (lambda: ReusePolicy(replicas=(1, "2")), ValueError, "replicas max must be an int, got '2'"),
        (lambda: ReusePolicy(replicas=(-1, 2)), ValueError, "replicas min must be greater than or equal to 0, got -1"),
        (lambda: ReusePolicy(replicas=(3, 2)), ValueError, "replicas min (3) must be less than or equal to max (2)"),
        (lambda: ReusePolicy(concurrency=0), ValueError, "concurrency must be at least 1, got 0"),
        (lambda: ReusePolicy(idle_ttl="5"), ValueError, "idle_ttl must be an int (seconds) or a timedelta"),
        (lambda: ReusePolicy(scaledown_ttl=5), ValueError, "scaledown_ttl must be at least 30 seconds"),
        (lambda: Secret("k", mount=Path("/x")), ValueError, "Only /etc/flyte/secrets is supported"),
        (lambda: Secret("k", as_env_var="a-b"), ValueError, "Invalid environment variable name: a-b"),
        (lambda: Resources(cpu=(1,)), ValueError, "cpu tuple must have exactly two elements"),
        (lambda: Resources(cpu=(-1, 2)), ValueError, "cpu must be greater than or equal to 0"),
        (lambda: Resources(cpu=[1]), ValueError, "cpu must be a core count or a Kubernetes quantity string"),
        (lambda: Resources(cpu=(None, 2)), ValueError, "cpu pair elements must both be set, got None"),
        (lambda: Resources(memory=1024), ValueError, "memory must be a Kubernetes quantity string such as '1Gi'"),
        (lambda: Resources(memory=("1Gi", 5)), ValueError, "memory must be a Kubernetes quantity string such as"),
        (lambda: Resources(disk=5), ValueError, "disk must be a Kubernetes quantity string"),
        (lambda: Resources(gpu=-1), ValueError, "gpu must be greater than or equal to 0"),
        (lambda: Resources(gpu=("A100", 1)), ValueError, "gpu must be an accelerator string such as 'A100:4'"),
        (lambda: Resources(gpu="T4:9"), ValueError, "gpu must be one of A2:1, A10:1|2|3|4|5|6|7|8,"),
    ],
)
def test_a_declaration_that_a_cluster_would_reject_is_rejected_with_its_name(make, error, message):
    with pytest.raises(error) as caught:
        make()
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("word", "behavior"), [("enable", "auto"), ("ON", "auto"), ("off", "disable"), ("No", "disable")]
)
def test_common_words_stand_for_cache_behaviours(word, behavior):
    assert Cache(word).behavior == behavior


def test_a_cache_normalises_what_may_be_given_in_two_ways():
    cache = Cache("auto", ignored_inputs="when", max_age=60, policies=(policy := SimpleNamespace(get_version=len)))
    assert cache.get_ignored_inputs() == ("when",)
    assert cache.max_age == timedelta(minutes=1)
    assert cache.policies == [policy]


def test_the_version_of_a_cache_is_the_fingerprint_with_the_salt():
    params = VersionParameters(func=None)
    assert Cache("auto").version(params, lambda: "abc") == "abc"
    assert Cache("auto", salt="v2").version(params, lambda: "abc") == "abcv2"


def test_a_declared_version_is_taken_and_the_fingerprint_not_asked_for():
    def fingerprint() -> str:
        raise AssertionError("not needed")

    assert Cache("override", version_override="7").version(VersionParameters(func=None), fingerprint) == "7"


def test_a_cache_policy_of_the_users_makes_the_version():
    class ByName:
        def get_version(self, salt, params):
            return f"{params.func.__name__}{salt}"

    def version(salt, func):
        return Cache("auto", salt=salt, policies=ByName()).version(VersionParameters(func=func), lambda: "unused")

    assert version("", len) == version("", len)
    assert version("", len) != version("2", len)
    assert version("", len) != version("", max)


def test_a_cache_policy_that_fails_is_named():
    class Broken:
        def get_version(self, salt, params):
            raise KeyError("git")

        def __str__(self):
            return "Broken()"

    with pytest.raises(ValueError, match=r"Failed to generate version for cache policy Broken\(\)\.") as caught:
        Cache("auto", policies=Broken()).version(VersionParameters(func=None), str)
    assert isinstance(caught.value.__cause__, KeyError)


def test_retries_without_a_backoff_wait_half_a_second_and_then_twice_as_long_each_time():
    strategy = RetryStrategy(5)
    assert [strategy.wait(attempt) for attempt in (1, 2, 3, 4)] == [0.5, 1.0, 2.0, 4.0]


def test_waits_between_many_retries_stay_bounded():
    assert RetryStrategy(9999).wait(9000) == 3600.0


def test_a_backoff_grows_to_its_cap_and_stays_there_even_where_numbers_overflow():
    backoff = Backoff(timedelta(seconds=10), factor=2.0, cap=timedelta(minutes=5))
    strategy = RetryStrategy(9999, backoff)
    assert [strategy.wait(attempt) for attempt in (1, 2, 3, 6, 5000)] == [10.0, 20.0, 40.0, 300.0, 300.0]


def test_a_backoff_without_a_factor_waits_the_same_each_time():
    strategy = RetryStrategy(3, Backoff(timedelta(milliseconds=10)))
    assert [strategy.wait(attempt) for attempt in (1, 2, 3)] == [0.01, 0.01, 0.01]


def test_the_index_of_a_retry_is_never_negative():
    with pytest.raises(ValueError, match="Retry index n must be >= 0, got -1"):
        Backoff(timedelta(1)).compute_delay(-1)


@pytest.mark.parametrize(
    ("request_", "seconds"),
    [(None, None), (0, None), (timedelta(0), None), (3, 3.0), (timedelta(milliseconds=250), 0.25)],
)
def test_a_bare_timeout_bounds_the_runtime_and_zero_means_no_bound(request_, seconds):
    timeout = timeout_of(request_)
    assert timeout.seconds("max_runtime") == seconds
    assert timeout.seconds("deadline") is None


def test_each_bound_of_a_timeout_is_known_in_seconds():
    timeout = Timeout(max_runtime=5, max_queued_time=timedelta(minutes=1), deadline=7)
    assert [timeout.seconds(name) for name in ("max_runtime", "max_queued_time", "deadline")] == [5.0, 60.0, 7.0]


@pytest.mark.parametrize(
    ("secret", "variable"),
    [
        (Secret("my-key"), "MY_KEY"),
        (Secret("my-key", group="team"), "TEAM_MY_KEY"),
        (Secret("k", as_env_var="K2"), "K2"),
    ],
)
def test_a_secret_has_an_environment_variable(secret, variable):
    assert secret.as_env_var == variable


def test_equal_secrets_are_one_key_of_a_dict():
    assert len({Secret("a"): 1, Secret("a"): 2, Secret("b"): 3}) == 2


def test_a_reuse_policy_is_normalised_and_warns_of_starvation(caplog):
    with caplog.at_level(logging.WARNING, logger="flyte_notebook"):
        policy = ReusePolicy(replicas=1, idle_ttl=60)
    assert (policy.replicas, policy.min_replicas, policy.max_replicas) == ((1, 1), 1, 1)
    assert policy.idle_ttl == timedelta(minutes=1)
    assert "to avoid starvation" in caplog.text


def test_an_old_name_of_a_gpu_is_understood_and_remarked_on(caplog):
    with caplog.at_level(logging.WARNING, logger="flyte_notebook"):
        assert Resources(gpu="A100 80G:1").gpu == "A100_80G:1"
    assert "use 'A100_80G' instead" in caplog.text


@pytest.mark.parametrize("gpu", [None, 0, 2, "T4:1", "A100:8", "Trn1:16", "L40S shared:1", "AppleSilicon"])
def test_a_gpu_is_a_count_or_a_device_and_its_count(gpu):
    assert Resources(gpu=gpu).gpu == gpu


class TestDescriptions:
    def test_are_json_and_leave_defaults_out(self):
        described = describe(Resources(cpu=(1, 2), memory="1Gi"))
        assert json.loads(json.dumps(described)) == {"cpu": [1, 2], "memory": "1Gi"}

    def test_of_nested_declarations_nest(self):
        strategy = RetryStrategy(2, Backoff(timedelta(seconds=1)))
        assert describe(strategy) == {"count": 2, "backoff": {"base": "0:00:01"}}

    def test_show_the_names_of_variables_and_never_their_values(self):
        assert describe({"TOKEN": "hunter2"}) == ["TOKEN"]
        assert "hunter2" not in json.dumps(describe([{"TOKEN": "hunter2"}, Secret("s")]))

    def test_of_an_unknown_object_are_its_class_name(self):
        class Loud:
            def __repr__(self):
                raise RuntimeError("no repr")

        assert describe(PodTemplate(pod_spec=Loud())) == {"pod_spec": "Loud"}

    def test_are_bounded(self):
        assert len(describe("x" * 10_000)) == 200
