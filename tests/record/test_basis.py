"""A fingerprint that was taken tells cheaply whether it still holds: what code refers to may be set between two calls."""

from __future__ import annotations

import types

import pytest

from flyte_notebook.record.fingerprint import Fingerprint, fingerprint
from tests.record.test_fingerprint import Cells

PROGRAM = """
import argparse, math
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace

THRESHOLD = 3
TABLE = {"rate": 0.1, "deep": [{"x": {1, 2}}]}
NAMES = ["a"]
SETTINGS = SimpleNamespace(rate=0.1)
ARGUMENTS = argparse.Namespace(rate=0.1)
LOG = []
count = 0

@dataclass
class Options:
    rate: float = 0.1
    layers: list = field(default_factory=list)

OPTIONS = Options()

class Limits:
    most = 5
    def within(self, x): return x < self.most
tools = ModuleType("tools")
exec("FACTOR = 2\\ndef scale(x): return x * FACTOR", tools.__dict__)

def helper(x): return x + THRESHOLD

def make():
    step = 1
    def set_step(value):
        nonlocal step
        step = value
    def closed(x): return x + step
    return closed, set_step

closed, set_step = make()

def main(x):
    global count
    count += 1
    LOG.append(x)
    return [
        helper(x), closed(x), TABLE["rate"], NAMES, SETTINGS.rate, ARGUMENTS.rate, OPTIONS.rate,
        math.floor(x), tools.scale(x), len(str(x)),
        Limits.most, Limits().within(x),
    ]
"""


@pytest.fixture
def cells():
    return Cells().run(PROGRAM)


SET = {
    "a constant": "THRESHOLD = 4",
    "a helper": "def helper(x): return x - THRESHOLD",
    "a part of a dict": 'TABLE["rate"] = 0.2',
    "deep in a dict": 'TABLE["deep"][0]["x"].add(3)',
    "a list": 'NAMES.append("b")',
    "a namespace": "SETTINGS.rate = 0.2",
    "parsed arguments": "ARGUMENTS.rate = 0.2",
    "a field of a dataclass": "OPTIONS.rate = 0.2",
    "a list in a dataclass": "OPTIONS.layers.append(1)",
    "an attribute of a class": "Limits.most = 6",
    "a method of a class": "Limits.within = lambda self, x: True",
    "what a closure holds": "set_step(2)",
    "a value in a module": "tools.FACTOR = 3",
    "a function of a module": "tools.scale = lambda x: x",
    "a name that was Python's own": "def len(x): return 5",
    "nothing there any more": "del THRESHOLD",
}


@pytest.mark.parametrize("what", SET)
def test_a_fingerprint_holds_until_something_is_set(cells, what):
    taken = Fingerprint(cells["main"])
    assert taken.holds()
    cells.run(SET[what])
    assert not taken.holds()
    again = Fingerprint(cells["main"])
    assert again.holds()
    assert again.text == fingerprint(cells["main"]) != taken.text


STAYS = {
    "state": "LOG.append(1); count = 7",
    "the function itself runs": "main(1); main(2)",
    "what nobody reads": "other = 1",
    "an equal value": 'TABLE["rate"] = 0.1',
    "there and back": 'NAMES.append("b"); NAMES.pop()',
}


@pytest.mark.parametrize("what", STAYS)
def test_a_fingerprint_holds_while_nothing_of_it_is_set(cells, what):
    taken = Fingerprint(cells["main"])
    cells.run(STAYS[what])
    assert taken.holds()


def test_a_name_that_is_bound_later_is_seen():
    cells = Cells().run("def main(x): return later(x)")
    taken = Fingerprint(cells["main"])
    assert taken.holds()
    cells.run("def later(x): return x")
    assert not taken.holds()


def test_a_value_with_code_in_it_holds():
    cells = Cells().run(
        "def f(x): return x\nTABLE = {'f': f, 'g': [lambda x: f(x)]}\ndef main(x): return TABLE['f'](x)"
    )
    taken = Fingerprint(cells["main"])
    assert taken.holds()
    cells.run("TABLE['f'] = lambda x: -x")
    assert not taken.holds()


def test_a_large_value_is_looked_at_when_a_fingerprint_is_taken_and_not_before():
    cells = Cells().run("TABLE = {str(i): i for i in range(10_000)}\ndef main(x): return TABLE[x]")
    taken = Fingerprint(cells["main"])
    cells.run("TABLE['1'] = 2")
    assert taken.holds()
    assert Fingerprint(cells["main"]).text != taken.text


def test_an_unbound_closure_is_no_error():
    def make() -> types.FunctionType:
        def main(x: int) -> int:
            return step + x

        if make is None:
            step = 1
        return main

    assert Fingerprint(make()).holds()
