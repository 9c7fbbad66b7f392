"""What a task's own code changes is state: running it leaves its fingerprint as it is, and edits beside it are seen."""

from __future__ import annotations

import textwrap

import pytest

from flyte_notebook.record import initial
from flyte_notebook.record.fingerprint import explain, fingerprint, fingerprint_parts
from tests.record.fingerprint_cases import Cells, main_of

CLIENT = """
import functools
def keep(where, x): where[x] = x
class Base:
    def hit(self): self.n += 1
class Client(Base):
    limit = 5
    shared = []
    count = 0
    def __init__(self, url):
        self.url, self.n, self.cache, self.items, self.model, self.rate = url, 0, {}, [], None, 1
    def get(self, key):
        if key not in self.cache:
            self.cache[key] = self.load(key)
        return self.cache[key]
    def load(self, key):
        self.items.append(key)
        return key
    def fit(self, x):
        self.model = {x: x}
        self.model[x] += 1
    def share(self, x):
        self.shared.append(x)
        type(self).count += 1
    def passed(self, x): keep(self.cache, x)
    def aliased(self, x):
        cache = self.cache
        cache[x] = x
    def set_rate(self, rate): self.rate = rate
    @classmethod
    def make(cls): cls.count += 1
    @functools.cached_property
    def size(self): return len(self.url)
client = Client("here")
client.set_rate(2)
"""
URL, LIMIT, RATE = ('("here")', '("there")'), ("limit = 5", "limit = 6"), ("set_rate(2)", "set_rate(3)")
CODE = ("return key\n", "return key + 1\n")
BOX = """
class Inner:
    def __init__(self): self.n, self.kept = 0, 1
class Box:
    n, cache, kept = 0, {}, 1
    __hash__ = None
    inner = Inner()
box = Box()
box.m, box.kept, box.items = 0, 2, []
"""
SLOTS = """
class Box:
    __slots__ = ("n", "kept", "late")
    def hit(self): self.n, self.late = self.n + 1, 1
box = Box()
box.n, box.kept = 0, 2
"""
DECORATOR = """
import functools
class counted:
    def __init__(self, f):
        functools.update_wrapper(self, f)
        self.f, self.calls, self.step = f, 0, 1
    def __call__(self, x):
        self.calls += 1
        return self.f(x) + self.step
@counted
def h(x): return x + 10
"""
CLASS_OF_LIST = """
class Log(list):
    def note(self, x):
        self.append(x)
class Table(dict):
    def __setitem__(self, key, value): super().__setitem__(key, value)
log, table = Log(), Table()
"""
MAPPING = """
class Store:
    def __init__(self): self.data, self.step = {}, 1
    def __setitem__(self, key, value): self.data[key] = value * self.step
    def append(self, value): self.data[value] = value
class Holder:
    def __init__(self): self.store = Store()
    def put(self, x): self.store.append(x)
store, holder = Store(), Holder()
"""
POOLS = """
import asyncio, concurrent.futures, threading
import numpy as np
class Model:
    def __init__(self):
        self.pool = concurrent.futures.ThreadPoolExecutor(2)
        self.rng, self.step = np.random.default_rng(0), 1
pool, model = concurrent.futures.ThreadPoolExecutor(2), Model()
"""
ARRAYS = """
import numpy as np, pandas as pd
array, frame, kept = np.arange(3.0), pd.DataFrame({"a": [3, 1, 2]}), np.ones(3)
"""
KEPT = ("np.ones(3)", "np.zeros(3)")
HELPERS = """
D, KEPT, LIMITS = {}, 1, {"a": 1}
def add(d, k): d[k] = 1
def pass_on(x, into): add(into, x)
def copied(limits):
    limits = dict(limits)
    limits["b"] = 1
    return limits
"""
DEFAULTS = """
def h(x, memo={}, step=1):
    memo[x] = x + step
    return memo[x]
"""
SHELL = """
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.__new__(InteractiveShell)
shell.__dict__["n"] = 0
get = shell.get_ipython
"""
PARTS = """
import asyncio, contextlib, functools, io, operator
KEPT = 1
LISTS, TABLE, PAIR, BUFFER, STACK = [[1], []], {"a": {}}, ([], {}), io.StringIO(), contextlib.ExitStack()
class Box:
    def __init__(self): self.n = 0
    def hit(self): self.n += 1
    def hit_by(self, n): self.n += n
    hit_one = functools.partialmethod(hit_by, 1)
BOXES = [Box()]
def get(): return LISTS
async def get_late(): return LISTS
async def wait(): (await get_late()).append(1)
def first():
    def inner(): return TABLE
    return LISTS[0]
def grow(rows, other=None): rows.append(1)
def partly(lists):
    for rows in lists: rows.append(1)
def run(function, rows): function(rows)
bound, by_name = functools.partial(grow, LISTS), functools.partial(grow, rows=LISTS)
"""
RELAY = """
class A:
    def __init__(self): self.n = 1
    def __setattr__(self, name, value): object.__setattr__(self, name, value)
a = A()
"""
CONFIG = """
class Config:
    def __init__(self): self.data, self._rate, self.depth = {}, 1, 1
    def __setitem__(self, key, value): self.data[key] = value
    def __getitem__(self, key): return self.data[key]
    def __ior__(self, other):
        self.data.update(other)
        return self
    def update(self, **options):
        for name, value in options.items(): setattr(self, name, value)
    @property
    def rate(self): return self._rate
    @rate.setter
    def rate(self, rate): self._rate = rate
cfg, seen = Config(), set()
cfg["lr"] = 2
cfg.rate = 3
cfg.update(depth=4)
cfg |= {"a": 5}
"""
MADE = """
import itertools
class Made:
    ids, all, n, kept, _one = itertools.count(), [], 0, 1, None
    def __new__(cls):
        cls._one = cls._one or super().__new__(cls)
        return cls._one
    def __init__(self):
        self.i = next(self.ids)
        self.all.append(self.i)
        type(self).n += 1
class Adder:
    def add(self, where, x): where[x] = 1
    @staticmethod
    def put(where, x): where[x] = 1
    @classmethod
    def insert(cls, where, x): where[x] = 1
adder, D, ALL = Adder(), {}, {"a": 1}
"""
LATE = """
STEP = 1
def connect(): return [1]
def get():
    global CONN
    try: return CONN
    except NameError:
        CONN = connect()
        return CONN
def make():
    def inner():
        nonlocal kept
        kept = connect()
        return kept
    def late(): return kept
    return inner, late
    kept = None
inner, late = make()
"""
FUNCTION = """
def g(x): return x
g.calls, g.step = 0, 1
"""
METHODS = {
    "a counter of the base class": ("client.hit()", [URL, LIMIT, RATE]),
    "a cache": ("client.get(x)", [URL, LIMIT, RATE, CODE]),
    "an attribute bound anew": ("client.fit(x)", [URL, RATE]),
    "an attribute of the class": ("client.share(x)", [URL, LIMIT, RATE]),
    "a class method": ("Client.make()", [LIMIT]),
    "an attribute passed to a helper": ("client.passed(x)", [URL, RATE]),
    "an alias of an attribute": ("client.aliased(x)", [URL, RATE]),
    "a cached property": ("client.size", [URL, LIMIT, RATE]),
    "a bound method": ("callback(x)", [URL, RATE]),
}
CASES = {
    **{what: (CLIENT + "callback = client.get\n", *case) for what, case in METHODS.items()},
    "an attribute of a captured class": (BOX, "Box.n += 1", [("cache, kept = 0, {}, 1", "cache, kept = 0, {}, 3")]),
    "an element of a class's attribute": (BOX, "Box.cache[x] = 1", [("{}, 1", "{}, 3")]),
    "an attribute of a captured object": (BOX, "box.m += 1", [("0, 2, []", "0, 3, []"), ("0, 2, []", "0, 2, [1]")]),
    "a list of a captured object": (BOX, "box.items.append(x)", [("0, 2, []", "0, 3, []"), ("0, 2, []", "1, 2, []")]),
    "setattr": (BOX, "setattr(box, 'm', x)", [("0, 2, []", "0, 3, []")]),
    "an object inside another": (BOX, "box.inner.n += 1", [("0, 2, []", "0, 3, []"), ("0, 1\n", "0, 2\n")]),
    "slots": (SLOTS, "box.hit()", [("0, 2", "0, 3")]),
    "a decorating object": (DECORATOR, "h(x)", [("x + 10", "x + 11"), ("f, 0, 1", "f, 0, 2")]),
    "a list with methods": (CLASS_OF_LIST, "log.note(x)", [("self.append(x)", "self.append(x + 1)")]),
    "a dict with methods": (CLASS_OF_LIST, "table[x] = 1", [("(key, value)\nl", "(key, value + 1)\nl")]),
    "an object like a dict": (MAPPING, "store[x] = 1", [("{}, 1", "{}, 2"), ("* self.step", "- self.step")]),
    "an object like a dict in another": (MAPPING, "holder.put(x)", [("{}, 1", "{}, 2")]),
    "a pool": (POOLS, "pool.submit(len, 'a').result()", []),
    "a pool of a model": (POOLS, "model.pool.submit(len, 'a').result()", [("(0), 1", "(0), 2")]),
    "random numbers of a model": (POOLS, "model.rng.random()", [("(0), 1", "(0), 2")]),
    **{
        code: (ARRAYS, f"{code}; kept.sum()", [KEPT])
        for code in (
            "array.fill(x)",
            "array[::-1].sort()",
            "array.sort()",
            "array.put(0, x)",
            "array.resize(4 + x, refcheck=False)",
            "array.setflags(write=False)",
            "np.add(array, 1, out=array)",
            "np.add(array, 1, out=(array,))",
            "np.copyto(array, x)",
            "frame.insert(0, f'c{x}', 1)",
            "frame.update({'a': [x, x, x]})",
            "frame.replace(x, 9, inplace=True)",
            "frame.loc[x] = x",
            "np.random.default_rng(0).shuffle(array); array[0] += 1",
        )
    },
    "an alias": (HELPERS, "d = D; d[x] = KEPT", [("{}, 1", "{}, 2")]),
    "an alias of an alias": (HELPERS, "d = D; e = d; e[x] = KEPT", [("{}, 1", "{}, 2")]),
    "a helper": (HELPERS, "add(D, x); KEPT", [("{}, 1", "{}, 2"), ("d[k] = 1", "d[k] = 2")]),
    "a helper by keyword": (HELPERS, "add(k=x, d=D); KEPT", [("{}, 1", "{}, 2")]),
    "a helper's helper": (HELPERS, "pass_on(x, D); KEPT", [("{}, 1", "{}, 2")]),
    "the class of what is made": (MADE, "Made()", [("0, 1, None", "0, 2, None"), ("next(", "-next(")]),
    **{f"part of {code}": (PARTS, code + "; KEPT", [("KEPT = 1", "KEPT = 2")]) for code in (
        "[row.append(x) for row in LISTS]",
        "[row.append(x) for i, row in enumerate(LISTS)]",
        "[row.append(x) for a, row in zip([0], LISTS)]",
        "[row.update({x: x}) for row in TABLE.values()]",
        "row = LISTS[0]; row.append(x)",
        "row = TABLE['a']; row[x] = x",
        "row = TABLE.get('a'); row[x] = x",
        "TABLE.setdefault(x, []).append(x)",
        "p, q = LISTS, TABLE; p.append(x); q[x] = x",
        "p, q = PAIR; p.append(x); q[x] = x",
        "p = q = LISTS; p.append(x)",
        "p = LISTS if x else []; p.append(x)",
        "BOXES[0].hit()",
        "box = BOXES[0]; box.n += 1",
        "get().append(x)",
        "rows = get(); rows.append(x)",
        "with asyncio.Runner() as runner: runner.run(wait())",
        "first().append(x)",
        "grow(LISTS[0])",
        "grow(first())",
        "grow(*PAIR)",
        "partly(LISTS)",
        "bound()",
        "by_name()",
        "functools.partial(grow, LISTS)()",
        "run(grow, LISTS)",
        "operator.setitem(TABLE, x, x)",
        "print(x, file=BUFFER)",
        "STACK.callback(len, [])",
        "BOXES[0].hit_one()",
    )},
    **{f"a helper that is {code}": (MADE, f"{code}(D, x); ALL", [('{"a": 1}', '{"a": 2}')])
       for code in ("adder.add", "adder.put", "adder.insert", "Adder.put", "Adder.insert")},
    "a default": (DEFAULTS, "h(x)", [("step=1", "step=2"), ("x + step", "x - step")]),
    "an attribute of a function": (FUNCTION, "g.calls += g.step; g.calls", [("0, 1", "0, 2")]),
    "a name that the first call binds": (LATE, "get()[0] + STEP", [("STEP = 1", "STEP = 2"), ("[1]", "[2]")]),
    "a name read before it is bound": (LATE, "x and CONN; get()", [("[1]", "[2]")]),
    "what a closure binds late": (LATE, "inner(); late()", [("[1]", "[2]")]),
    "a module under a global name": (LATE, "global mt; import math as mt; mt.floor(STEP)", [("STEP = 1", "STEP = 2")]),
    "a global named in text": (LATE, "globals()['C'] = connect(); globals()['C'][0]", [("[1]", "[2]")]),
    "a method named in text": (CLIENT, "getattr(client, 'get')(x)", [URL, LIMIT, RATE, CODE]),
    "a function under a global name": (LATE, "global f; f = lambda: STEP; f()", [("STEP = 1", "STEP = 2")]),
    "an attribute of a function that the first call sets": (
        FUNCTION,
        "g.n = getattr(g, 'n', 0) + 1; g.step",
        [("0, 1", "0, 2")],
    ),
    "an item of an object": (CONFIG, "cfg['lr'] = x", [("rate = 3", "rate = 9")]),
    "a property": (CONFIG, "cfg.rate = x; cfg.rate", [('["lr"] = 2', '["lr"] = 9')]),
    "attributes by their names": (CONFIG, "cfg.update(depth=x)", []),
    "a property by setattr": (CONFIG, "setattr(cfg, 'rate', x)", [('["lr"] = 2', '["lr"] = 9')]),
    "an object in place": (CONFIG, "global cfg; cfg |= {x: x}", []),
    "a shell": (SHELL, "get().__dict__['n'] += 1", []),
}  # fmt: skip


def program(definitions: str, body: str) -> str:
    return f"{definitions}def main(x):\n    {body}\n    return x\n"


@pytest.mark.parametrize("what", CASES)
def test_running_a_function_leaves_its_fingerprint_as_it_is(what):
    definitions, body, edits = CASES[what]
    cells = Cells().run(program(definitions, body))
    before = fingerprint_parts(cells["main"])
    for x in range(3):
        cells["main"](x)
        assert explain(before, fingerprint_parts(cells["main"])) == []
    assert fingerprint_parts(Cells().run(program(definitions, body))["main"]) == before
    for old, new in edits:
        assert old in definitions
        assert main_of(program(definitions.replace(old, new), body)) != fingerprint(cells["main"]), new


READ = "cfg['lr'] + cfg.rate + cfg.depth; seen.update([x])"
NOT_STATE = {
    **{f"what a notebook sets by {old}": (CONFIG, READ, (old, new)) for old, new in (
        ('["lr"] = 2', '["lr"] = 9'), ("rate = 3", "rate = 9"), ("depth=4", "depth=9"), ('"a": 5', '"a": 9')
    )},
    "what a method that nobody calls would change": (CLIENT, "client.hit()", RATE),
    "what nobody makes": (MADE, "(lambda f: f)(len); Made.ids, Made.all", ("[], 0", "[1], 0")),
    "what was copied": (HELPERS, "copied(LIMITS)", ('"a": 1', '"a": 2')),
    "what a name stood for, when it may stand for another": (
        HELPERS,
        "d = LIMITS; d = dict(d); d['a'] = 1",
        ('"a": 1', '"a": 2'),
    ),
    "a number that a count starts from": (HELPERS, "n = KEPT; n += 1", ("{}, 1", "{}, 2")),
    "text, whatever its methods are called": ("TEXT = 'a'\n", "TEXT.insert if x < 0 else TEXT", ("'a'", "'b'")),
    "text that a method seems to change": ("TEXT = 'a'\n", "x < 0 and TEXT.update()", ("'a'", "'b'")),
    "what `__setattr__` relays": (RELAY, "a.n", ("n = 1", "n = 2")),
    "a default that is replaced": (
        "def h(x, memo={'a': 1}):\n    memo = dict(memo)\n    memo[x] = 1\n",
        "h(x)",
        ("'a': 1", "'a': 2"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", NOT_STATE)
def test_what_no_running_code_changes_is_not_taken_for_state(what):
    definitions, body, (old, new) = NOT_STATE[what]
    assert old in definitions
    assert main_of(program(definitions.replace(old, new), body)) != main_of(program(definitions, body))


def test_what_a_cell_defines_counts_though_code_may_replace_it():
    program = "def once(x): return x\ndef main(x):\n    global once\n    once = once or None\n    return once(x)\n"
    assert main_of(program) != main_of(program.replace("return x\n", "return -x\n", 1))


SEEDED = """
import numpy as np
class Model:
    def __init__(self, seed): self.rng = np.random.default_rng(seed)
    def draw(self): return self.rng.random()
model = Model(1)
"""
SET_ANEW = {
    "a dict with a default": ("D = {'a': 1}\n", "D.setdefault('b', 2); D['a']", "{'a': 1}", "{'a': 2}"),
    "a list in order": ("L = [3, 1]\n", "L.sort(); L[0]", "[3, 1]", "[3, 2]"),
    "a table": ("import pandas as pd\nT = pd.DataFrame({'a': [1]})\n", "T['b'] = T.a * 2", "[1]", "[2]"),
    "an array": ("import numpy as np\nA = np.arange(3)\n", "A[0] += 1", "(3)", "(1, 4)"),
    "what is inside": ("D = {'a': [{'b': 1}]}\n", "D['n'] = 1", "'b': 1", "'b': 2"),
    "functions by name": ("D = {'f': len}\n", "D['n'] = 1", "len", "max"),
    "functions of the user's": ("D = {'f': lambda x: x + 1}\n", "D['n'] = D['f'](x)", "x + 1", "x + 2"),
    "methods": ("class A:\n    def f(self): return 1\nL = [A()]\n", "L.append(L[0].f())", "return 1", "return 2"),
    "what an iterator goes through": ("I = map(lambda x: x + 1, range(9))\n", "next(I)", "x + 1", "x + 2"),
    **{
        f"a seed of {made}": (f"import random, numpy as np\nR = {made}\n", "R.random()", "(1)", "(2)")
        for made in ("random.Random(1)", "np.random.default_rng(1)", "np.random.RandomState(1)")
    },
    "what a partial holds": (
        "import functools\ndef f(rows, x): rows.append(x)\nL = [1]\np = functools.partial(f, L)\n",
        "p(x)",
        "[1]",
        "[2]",
    ),
    "what a namespace holds": (
        "from types import SimpleNamespace\nN = SimpleNamespace(seen=[1])\n",
        "N.seen.append(x)",
        "[1]",
        "[2]",
    ),
    "a list with methods": (
        "class Log(list):\n    def note(self, x): self.append(x)\nlog = Log([1])\n",
        "log.note(x)",
        "[1]",
        "[2]",
    ),
    "what an object is given": (
        "class A:\n    def __init__(self): self.l = L\n    def note(self, x): self.l.append(x)\nL = [1]\na = A()\n",
        "a.note(x); L",
        "[1]",
        "[2]",
    ),
    "what an object holds": (
        "class A:\n    def __init__(self): self.l = L\nL = [1]\na = A()\n",
        "a.l.append(x)",
        "[1]",
        "[2]",
    ),
    "a seed in an object": (SEEDED, "model.draw()", "(1)", "(2)"),
}


@pytest.mark.parametrize("what", SET_ANEW)
def test_what_a_cell_sets_anew_counts_by_what_it_holds_at_first(what):
    definitions, body, old, new = SET_ANEW[what]
    assert old in definitions
    cells = Cells().run(program(definitions, body))
    before = fingerprint(cells["main"])
    cells["main"](1)
    assert fingerprint(cells["main"]) == before
    cells.run(definitions)
    assert fingerprint(cells["main"]) == before
    cells["main"](1)
    cells.run(definitions.replace(old, new))
    edited = fingerprint(cells["main"])
    assert edited != before
    cells["main"](1)
    assert fingerprint(cells["main"]) == edited


@pytest.mark.parametrize("made", ["R = np.random.default_rng()", "R = [np.random.default_rng()]"])
def test_a_generator_without_a_seed_is_the_same_in_every_kernel(made):
    source = program(f"import numpy as np\n{made}\n", "R")
    assert main_of(source) == main_of(source) != main_of(source.replace("rng()", "rng(1)"))


COPIED = {
    "a new list": ("L = [1]", "c = list(L); c.append(x)", "L[0] = 2"),
    "a slice": ("L = [1]", "c = L[:]; c.append(x)", "L[0] = 2"),
    "a dict in a new one": ("L = [{'a': 1}]", "c = dict(L[0]); c[x] = 1", "L[0]['a'] = 2"),
    "a list that is looped through": ("L = [1]", "c = []\n    for n in L: c.append(n)", "L[0] = 2"),
    "a number": ("L = {'a': 1}", "n = L['a']; n += 1", "L['a'] = 2"),
    "rows of a table": (
        "import pandas as pd\nL = pd.DataFrame({'a': [1]})",
        "c = L[L.a > 0]; c.insert(0, 'b', 1)",
        "L.a = 2",
    ),
    "a copy of a table": ("import pandas as pd\nL = pd.DataFrame({'a': [1]})", "c = L.copy(); c['b'] = 1", "L.a = 2"),
    "what a function returns": ("L = {'a': 1}\ndef f(): return dict(L)", "f()[x] = 1", "L['a'] = 2"),
    "another argument": ("L, D = [1], []\ndef f(d, l): d.append(l[0])", "f(D, L)", "L[0] = 2"),
    "what a function inside returns": (
        "L = [1]\ndef f():\n    def g(): return L\n    return [g()]",
        "f().append(x)",
        "L[0] = 2",
    ),
    "a variable of the module": (
        "n = L = 1\ndef m():\n    n = 0\n    def i():\n        nonlocal n\n        n += 1\n    return i\ni = m()",
        "i(); n",
        "n = 2",
    ),
}


@pytest.mark.parametrize("what", COPIED)
def test_what_code_has_changed_only_copies_of_is_seen_when_a_cell_changes_it(what):
    definitions, body, change = COPIED[what]
    cells = Cells().run(program(definitions + "\n", body))
    before = fingerprint(cells["main"])
    cells["main"](1)
    assert fingerprint(cells["main"]) == before
    assert fingerprint(cells.run(change)["main"]) != before


REGISTRIES = {
    "a base class": """
    class Base:
        known = {}
        def __init_subclass__(cls): Base.known[cls.__name__] = cls
    def main(x): return Base.known["One"]().f(x)
    """,
    "a metaclass": """
    KNOWN = {}
    class Meta(type):
        def __init__(cls, *args): KNOWN[cls.__name__] = cls
    class Base(metaclass=Meta): pass
    def main(x): return (KNOWN["One"] or Base)().f(x)
    """,
    "an attribute": """
    class Field:
        owners = []
        def __set_name__(self, owner, name): Field.owners[:] = [owner]
    class Base: pass
    def main(x): return Field.owners[0]().f(x)
    """,
}


@pytest.mark.parametrize("what", REGISTRIES)
def test_a_class_that_was_entered_in_a_registry_counts(what):
    one = "class One(Base):\n    field = globals().get('Field', int)()\n    def f(self, x): return x\n"
    cells = Cells().run(REGISTRIES[what]).run(one)
    before = fingerprint(cells["main"])
    cells["main"](1)
    assert fingerprint(cells["main"]) == before
    assert fingerprint(cells.run(one)["main"]) == before
    assert fingerprint(cells.run(one.replace("return x", "return -x"))["main"]) != before


def test_no_more_values_are_kept_than_is_said():
    program = "D = {'n': 0}\ndef main(x): D['n'] += 1"
    first = Cells().run(program)
    before = fingerprint(first["main"])
    kept = [Cells().run(program) for _ in range(initial.KEPT)]
    assert {fingerprint(cells["main"]) for cells in kept} == {before}
    assert len(initial._seen) <= initial.KEPT
    first["main"](1)
    assert fingerprint(first["main"]) != before


def test_a_value_made_on_first_use_may_be_of_another_type_then():
    cells = Cells().run("""
    model = None
    def load():
        global model
        if model is None:
            model = {"weights": [1]}
        return model
    def main(x): return load()
    """)
    before = fingerprint(cells["main"])
    cells["main"](1)
    assert fingerprint(cells["main"]) == before


def test_what_a_method_of_a_captured_object_changes_outside_of_it_is_state():
    cells = Cells().run("""
    alog = []
    class Model:
        def predict(self, x):
            alog.append(x)
            return x
    model = Model()
    def main(x): return model.predict(x) + len(alog)
    """)
    before = fingerprint(cells["main"])
    cells["main"](1)
    assert fingerprint(cells["main"]) == before


def test_a_counter_in_a_module_of_helpers_is_state():
    helpers = Cells("helpers").run(
        textwrap.dedent("""
    count, kept = 0, 1
    class Log: entries = []
    def add():
        global count
        count += 1
    """)
    )
    cells = Cells()
    cells.module.helpers = helpers.module
    cells.run("""
    def main(x):
        helpers.add()
        helpers.count += 1
        helpers.Log.entries.append(x)
        return helpers.count + helpers.kept
    """)
    before = fingerprint(cells["main"])
    cells["main"](1)
    assert fingerprint(cells["main"]) == before
    helpers.run("kept = 2")
    assert fingerprint(cells["main"]) != before


def test_classes_and_objects_of_any_manners_do_no_harm():
    cells = Cells().run("""
    class Odd:
        __slots__ = ("n", "m")
        def __getattribute__(self, name): return Odd if name == "__class__" else 1 / 0
        def hit(self):
            self.n.x = 1
            self.m.append(1)
            self.rest.append(2)
    class Lazy:
        @property
        def __dict__(self): raise ZeroDivisionError
        def hit(self): self.a.b.append(1)
    odd, lazy = Odd(), Lazy()
    def main(x):
        odd.hit()
        odd.n += 1
        lazy.hit()
        lazy.a.b = 1
    """)
    assert fingerprint(cells["main"]) == fingerprint(cells["main"])
