"""Edits of classes and decorators that change what a task computes, though no code or value of its own changes."""

from __future__ import annotations

import textwrap

import pytest

from flyte_notebook.record.fingerprint import fingerprint, fingerprint_parts
from tests.record.fingerprint_cases import Cells, main_of

DATACLASS = """
from dataclasses import dataclass, field
@dataclass{options}
class P:
    {fields}
def main(x: int): return P(x)
"""
BASES = """
class A:
    def f(self): return 1
class B:
    def f(self): return 2
class W({bases}): pass
def main(x: int): return W().f()
"""
ENUM = """
import enum
class E(enum.Enum):
    A = 1
    def f(self): return {result}
    @property
    def g(self): return {shown}
    @enum.property
    def h(self): return {hidden}
    limit = enum.nonmember({limit})
M, ALL = E.A, [E.A]
def main(x: int): return {used}.f()
"""
DECORATOR = """
import functools
class Deco:
    def __init__(self, f, n):
        functools.update_wrapper(self, f)
        self.f, self.n = f, n
    def __call__(self, x): return self.f(x) + self.n + {own}
def plain(x): return x + {inner}
h = Deco(plain, {n})
TABLE = {{"h": h}}
def main(x: int): return {used}(x)
"""
DISPATCH = """
import functools
@functools.singledispatch
def h(x): return {base}
@h.register
def _(x: int): return {registered}
@h.register(str)
def _(x): return {other}
def main(x: int): return h(x)
"""
DESCRIPTORS = """
import functools
def cached(function): return functools.lru_cache(function)
class W:
    a = property(cached(lambda self: {a}))
    b = property(functools.partial(lambda n, self: n, {b}))
    c = staticmethod(cached(lambda: {c}))
    d = functools.cached_property(cached(lambda self: {d}))
    d.__set_name__(None, "d")
def main(x: int): return W().a
"""
FUNCTION = """
def g(): return 1
g.n, g.unread = {n}, {unread}
def main(x: int): return x + g.n
"""
META = """
class Meta(type):
    def k(cls): return {k}
class W(metaclass={meta}): pass
def main(x: int): return W
"""
OPAQUE = """
class W:
    def __reduce_ex__(self, protocol): raise TypeError
    def k(self): return {k}
w = W()
def main(x: int): return w.k()
"""

EDITS = {
    "the order of bases": (BASES, {"bases": "A, B"}, {"bases": "B, A"}),
    "the order of fields": (DATACLASS, {"fields": "a: int = 0; b: int = 1"}, {"fields": "b: int = 1; a: int = 0"}),
    **{
        f"@dataclass{options}": (DATACLASS, {"fields": "a: int"}, {"fields": "a: int", "options": options})
        for options in ("(order=True)", "(frozen=True)", "(eq=False)", "(repr=False)", "(unsafe_hash=True)")
    },
    **{
        f"field({option})": (DATACLASS, {"fields": "a: int = field(default=0)"}, {"fields": f"a: int = {changed}"})
        for option, changed in {
            option: f"field(default=0, {option})"
            for option in ("compare=False", "init=False", "kw_only=True", "repr=False", "metadata={'a': 1}")
        }.items()
    },
    "a default with slots": (
        DATACLASS,
        {"options": "(slots=True)", "fields": "a: int = 0"},
        {"options": "(slots=True)", "fields": "a: int = 1"},
    ),
    **{f"an enum's {part}, captured as {used}": (ENUM, {"used": used}, {"used": used, part: 5})
       for part in ("result", "shown", "hidden", "limit") for used in ("E.A", "M", "ALL[0]")},
    **{f"a decorating object's {part}, captured as {used}": (DECORATOR, {"used": used}, {"used": used, part: 5})
       for part in ("own", "n", "inner") for used in ("h", "TABLE['h']")},
    **{f"of a single dispatch, {part}": (DISPATCH, {}, {part: 5}) for part in ("base", "registered", "other")},
    **{f"an indirect {what}": (DESCRIPTORS, {}, {part: 5})
       for part, what in zip("abcd", ("property", "partial", "static method", "cached property"), strict=True)},
    "an attribute of a function": (FUNCTION, {}, {"n": 5}),
    "a method of a metaclass": (META, {"meta": "Meta"}, {"meta": "Meta", "k": 5}),
    "a method of what cannot be taken apart": (OPAQUE, {}, {"k": 5}),
    "a metaclass": (META, {"meta": "Meta"}, {"meta": "type"}),
}  # fmt: skip
DEFAULTS = dict.fromkeys(
    ["result", "shown", "hidden", "limit", "own", "inner", "n", "base", "registered", "other", *"abcdk", "unread"], 0
)


def program(template: str, changes: dict[str, object]) -> str:
    return template.format(**DEFAULTS | {"options": ""} | changes)


@pytest.mark.parametrize("what", EDITS)
def test_an_edit_of_what_shapes_a_class_or_decorator_is_seen(what):
    template, old, new = EDITS[what]
    before = main_of(program(template, old))
    assert main_of(program(template, old)) == before
    assert main_of(program(template, new)) != before


def test_an_attribute_of_a_function_that_nobody_reads_does_not_count():
    assert main_of(program(FUNCTION, {"unread": 5})) == main_of(program(FUNCTION, {}))


def test_classes_that_are_found_by_their_base_count():
    base = "class Base: pass\nclass Between(Base): pass\ndef main(x): return Base.__subclasses__()\n"
    cells = Cells().run(base)
    empty = fingerprint(cells["main"])
    one = fingerprint(cells.run("class One(Between):\n    def f(self): return 1\n")["main"])
    other = fingerprint(Cells().run(base).run("class One(Between):\n    def f(self): return 2\n")["main"])
    assert len({empty, one, other}) == 3


def test_the_order_of_methods_does_not_count():
    methods = ["    def f(self): return 1\n", "    @property\n    def g(self): return 2\n"]
    used = "def main(x): return W().f() + W().g\n"
    assert main_of("class W:\n" + "".join(methods) + used) == main_of("class W:\n" + "".join(methods[::-1]) + used)


def test_the_docstring_under_a_decorating_object_does_not_count():
    source = program(DECORATOR, {"used": "h"})
    assert main_of(source.replace("def plain(x):", "def plain(x):\n    'helps'\n   ")) == main_of(source)


def test_a_decorating_object_is_explained_apart_from_the_function_in_it():
    parts = fingerprint_parts(Cells().run(program(DECORATOR, {"used": "h"}))["main"])
    assert {"captured h", "helper plain()", "class Deco"} <= parts.keys()


def test_a_decorating_object_may_be_the_task_itself():
    source = textwrap.dedent(program(DECORATOR, {"used": "h"}))
    before = fingerprint(Cells().run(source)["h"])
    assert fingerprint(Cells().run(source)["h"]) == before
    for part in ("own", "n", "inner"):
        assert fingerprint(Cells().run(program(DECORATOR, {"used": "h", part: 5}))["h"]) != before
