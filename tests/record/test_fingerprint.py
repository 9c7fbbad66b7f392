"""What a fingerprint sees and what it does not: edits of a program, as a reader of a notebook makes them."""

from __future__ import annotations

import functools
import linecache
import sys
import textwrap
import warnings

import numpy as np
import pytest

from flyte_notebook.record.dependencies import Survey
from flyte_notebook.record.fingerprint import explain, fingerprint, fingerprint_parts
from tests.record.fingerprint_cases import SERIAL, Cells, main_of

PROGRAM = """
import functools
import math
from dataclasses import dataclass

THRESHOLD = 3
TABLE = {"a": [1, 2], "b": {3, 4}}

@dataclass
class Row:
    x: int
    label: str = "none"

    def scaled(self):
        return self.x * 2

class Base:
    def run(self):
        return 1

class Step(Base):
    factor = 10

    @property
    def size(self):
        return helper(self.factor)

    @classmethod
    def make(cls):
        return cls()

def helper(x):
    return deeper(x) + 1

def deeper(x):
    return x if x < THRESHOLD else helper(x - 1)

def decorate(function):
    @functools.wraps(function)
    def wrapper(*args):
        return function(*args) + 100
    return wrapper

@decorate
def decorated(x):
    return x + 5

def make(step):
    def add(x):
        return x + step
    return add

add = make(7)
pick = lambda x: x + 70; drop = lambda x: x - 70

def main(row: Row, start=11):
    '''What it does.'''
    # how it does it
    total = helper(row.x) + Step.make().size + len(TABLE)
    total += decorated(1) + add(2) + pick(3)
    def inner(y):
        return math.floor(y) + 1000
    return [inner(i) for i in range(total)]

def unused():
    return "nobody asks"
"""

SEEN = {
    "its own code": ("math.floor(y) + 1000", "math.ceil(y) + 1000"),
    "a constant in it": ("+ 1000", "+ 1001"),
    "a default": ("start=11", "start=12"),
    "a helper": ("deeper(x) + 1", "deeper(x) + 2"),
    "a helper's helper": ("x if x <", "x if x <="),
    "a value that a helper reads": ("THRESHOLD = 3", "THRESHOLD = 4"),
    "a value of another type": ("THRESHOLD = 3", "THRESHOLD = 3.0"),
    "a part of a value": ("[1, 2]", "[1, 5]"),
    "an element of a set": ("{3, 4}", "{3, 5}"),
    "a method of a class": ("self.x * 2", "self.x * 3"),
    "a field of a dataclass": ("x: int\n    label", "x: float\n    label"),
    "a default of a field": ('"none"', '"some"'),
    "an attribute of a class": ("factor = 10", "factor = 11"),
    "a property": ("helper(self.factor)", "helper(self.factor + 1)"),
    "a class method": ("return cls()", "return cls() or 1"),
    "a base class": ("return 1", "return 2"),
    "the function under a decorator": ("x + 5", "x + 6"),
    "a decorator": ("(*args) + 100", "(*args) + 101"),
    "what a closure captured": ("make(7)", "make(8)"),
    "the code of a closure": ("x + step", "x - step"),
    "a lambda": ("x + 70", "x + 71"),
    "an annotation": ("row: Row", "row: object"),
}


@pytest.mark.parametrize("what", SEEN)
def test_an_edit_that_matters_is_seen(what):
    old, new = SEEN[what]
    assert PROGRAM.count(old) == 1
    assert main_of(PROGRAM.replace(old, new)) != main_of(PROGRAM)


UNSEEN = {
    "comments": ("# how it does it", "# how it really does it"),
    "docstrings": ("'''What it does.'''", "'''What it does, and why.'''"),
    "a docstring more": ("def helper(x):", "def helper(x):\n    'helps'"),
    "formatting": ("return deeper(x) + 1", "return (deeper( x ) +\n            1)"),
    "lines above": ("import functools", "\n\n\n# a remark\nimport functools"),
    "the order of a dict": ('{"a": [1, 2], "b": {3, 4}}', '{"b": {4, 3}, "a": [1, 2]}'),
    "what nobody refers to": ("nobody asks", "still nobody asks"),
    "the other lambda of the line": ("x - 70", "x - 71"),
    "how a value is computed": ("THRESHOLD = 3", "THRESHOLD = 1 + 2"),
    "how a default is computed": ("start=11", "start=THRESHOLD + 8"),
}


@pytest.mark.parametrize("what", UNSEEN)
def test_an_edit_that_does_not_matter_is_not_seen(what):
    old, new = UNSEEN[what]
    assert PROGRAM.count(old) == 1
    assert main_of(PROGRAM.replace(old, new)) == main_of(PROGRAM)


SPELLED = {
    "a global": "def f(x): return 1\ndef main(x):\n    f = globals()['f']\n    return f(x)",
    "a global that may be missing": "def f(x): return 1\ndef main(f): return globals().get('f')(f)",
    "a method": "class A:\n    def f(self): return 1\na = A()\ndef main(x): return getattr(a, 'f')()",
}


@pytest.mark.parametrize("what", SPELLED)
def test_what_is_named_in_text_counts(what):
    assert main_of(SPELLED[what]) == main_of(SPELLED[what])
    assert main_of(SPELLED[what]) != main_of(SPELLED[what].replace("return 1", "return 2"))


def test_no_garbage_is_collected_while_a_source_is_parsed():
    import gc

    from flyte_notebook.record.trees import parsed

    source = "\n".join(f"def f{i}(a, b=[{i}]): return [a + (b * ({i} - c)) for c in range(a)]" for i in range(300))
    collections: list[str] = []

    def noted(phase: str, info: dict[str, int]) -> None:
        collections.append(phase)

    before = gc.get_threshold()
    gc.set_threshold(50)
    gc.callbacks.append(noted)
    try:
        tree = parsed(source)
    finally:
        gc.callbacks.remove(noted)
        gc.set_threshold(*before)
    assert len(tree.body) == 300
    # The tree alone is thousands of objects, which would be hundreds of collections; a few come before and after it.
    assert len(collections) < 20
    assert gc.isenabled()


def test_running_a_cell_again_changes_nothing():
    cells = Cells().run(PROGRAM)
    before = fingerprint(cells["main"])
    cells.run(PROGRAM)
    assert fingerprint(cells["main"]) == before


def test_helpers_may_be_spread_over_cells_and_be_edited_in_theirs():
    one = Cells().run("def helper(x): return x").run("def main(x): return helper(x)")
    before = fingerprint(one["main"])
    assert fingerprint(Cells().run("def helper(x): return x\ndef main(x): return helper(x)")["main"]) == before
    one.run("def helper(x): return x + 1")
    assert fingerprint(one["main"]) != before


def test_the_options_of_a_task_do_not_count_but_its_function_does():
    program = """
    import flyte_notebook as flyte
    env = flyte.TaskEnvironment("{env}")

    @env.task(retries={retries}, short_name="{name}")
    async def child(x: int) -> int:
        return x + {step}

    @env.task
    async def main(x: int) -> int:
        return await child.override(short_name="bump")(x)
    """
    base = {"env": "fingers", "retries": 1, "name": "a", "step": 1}
    before = main_of(program.format(**base))
    for change in ({"env": "other"}, {"retries": 2}, {"name": "b"}):
        assert main_of(program.format(**base | change)) == before
    assert main_of(program.format(**base | {"step": 2})) != before


def test_a_task_counts_as_its_function():
    cells = Cells().run("""
    import flyte_notebook as flyte
    env = flyte.TaskEnvironment("fingers")
    @env.task
    async def main(x: int) -> int:
        return x + 1
    """)
    assert fingerprint(cells["main"]) == fingerprint(cells["main"].func)
    assert fingerprint(cells["main"].override(short_name="b")) == fingerprint(cells["main"])


def test_values_that_code_changes_are_state_and_do_not_count():
    cells = Cells().run("""
    import itertools
    calls, tally, seen = [], {"n": 0}, set()
    total, ids = 0, itertools.count()

    class Box:
        value = 0
    box = Box()

    def main(x):
        global total
        calls.append(x)
        tally["n"] += 1
        seen.add(x)
        total += x
        box.value = next(ids)
        return x
    """)
    before = fingerprint(cells["main"])
    for x in range(3):
        cells["main"](x)
        assert fingerprint(cells["main"]) == before


def test_a_counter_in_a_closure_is_state_too():
    cells = Cells().run("""
    def make():
        n, log = 0, []
        def count(x):
            nonlocal n
            n += 1
            log.append(n)
            return n
        return count
    main = make()
    """)
    before = fingerprint(cells["main"])
    cells["main"](1)
    assert fingerprint(cells["main"]) == before


def test_a_value_that_a_helper_changes_is_state_for_everybody():
    cells = Cells().run("""
    log = []
    def note(x): log.append(x)
    def main(x):
        note(x)
        return len(log)
    """)
    before = fingerprint(cells["main"])
    cells["main"](1)
    assert fingerprint(cells["main"]) == before


def test_drawing_random_numbers_is_no_change():
    cells = Cells().run("""
    import random
    import numpy as np
    rng, old = np.random.default_rng(1), random.Random(1)
    def main():
        return rng.normal() + old.random()
    """)
    before = fingerprint(cells["main"])
    cells["main"]()
    assert fingerprint(cells["main"]) == before


LOCALS = {
    "an argument": "def main(x): return x + x.real",
    "a keyword": "def main(a, *, x=1): return a + x",
    "starred": "def main(*x): return x[0]",
    "assigned": "def main(a):\n    x = a\n    x.b = 1\n    return x.real",
    "a loop": "def main(a):\n    for x in a: print(x)",
    "a comprehension": "def main(a): return [x.real for x in a] + list(x for x in a)",
    "a lambda": "def main(a): return sorted(a, key=lambda x: x.real)",
    "an inner function": "def main(a):\n    def inner(x): return x\n    return inner(a)",
    "of the function around": "def main(x):\n    def inner(): return x\n    return inner()",
    "with": "def main(a):\n    with a as x: x.close()",
    "except": "def main(a):\n    try: a()\n    except OSError as x: print(x.args)",
    "a walrus": "def main(a): return x if (x := a) else 0",
    "a match": "def main(a):\n    match a:\n        case [x]: return x",
    "of a helper": "def helper(x): return x\ndef main(a): return helper(a)",
    "of a method": "class A:\n    def run(self, x): return x\ndef main(a): return A().run(a)",
    "an import": "def main():\n    import math as x\n    return x.pi",
}


@pytest.mark.parametrize("program", LOCALS.values(), ids=LOCALS)
def test_a_local_variable_is_none_of_the_globals_of_its_name(program):
    with warnings.catch_warnings():
        # A large one would be remarked upon.
        warnings.simplefilter("error")
        found = {main_of(f"{program}\n{value}") for value in ("", "x = 1", "x = 2", "x = 'y' * 2**21")}
    assert len(found) == 1


@pytest.mark.parametrize(
    "program",
    [
        "def main(a): return x + a",
        "def main(a): return [x for a in a]",
        "def main(a): return lambda a: x",
        "def main(a: x): return a",
        "def main(a):\n    class B:\n        b = x\n    return B",
    ],
)
def test_the_global_of_that_name_counts_where_it_is_meant(program):
    assert main_of(f"x = int\n{program}") != main_of(f"x = str\n{program}")


def test_functions_that_refer_to_each_other_have_a_fingerprint():
    program = """
    def even(n): return True if n == 0 else odd(n - 1)
    def odd(n): return {base} if n == 0 else even(n - 1)
    main = even
    """
    assert main_of(program.format(base=False)) == main_of(program.format(base=False))
    assert main_of(program.format(base=False)) != main_of(program.format(base=None))


def test_swapping_two_helpers_is_seen():
    program = """
    def one(x): return 1
    def two(x): return 2
    first, second = {order}
    def main(x): return first(x) - second(x)
    """
    assert main_of(program.format(order="one, two")) != main_of(program.format(order="two, one"))


def test_functions_inside_captured_values_count():
    program = """
    def clean(x): return x + {step}
    STEPS = {{"clean": clean, "all": [lambda x: x * {factor}]}}
    def main(x): return STEPS["clean"](x)
    """
    before = main_of(program.format(step=1, factor=1))
    assert main_of(program.format(step=2, factor=1)) != before
    assert main_of(program.format(step=1, factor=2)) != before


def test_the_class_of_a_captured_object_counts():
    program = """
    class Model:
        def __init__(self): self.weights = [1, 2]
        def predict(self, x): return x + {step}
    model = Model()
    def main(x): return model.predict(x)
    """
    assert main_of(program.format(step=1)) != main_of(program.format(step=2))


def test_wrapped_functions_count_by_what_they_wrap():
    program = """
    import contextlib
    import functools

    @functools.lru_cache(maxsize=None)
    def slow(x): return x + {step}

    @contextlib.contextmanager
    def around(): yield {value}

    def main(x):
        with around() as y:
            return slow(x) + y
    """
    before = main_of(program.format(step=1, value=1))
    assert main_of(program.format(step=2, value=1)) != before
    assert main_of(program.format(step=1, value=2)) != before


def test_enums_and_models_count():
    program = """
    import enum, pydantic
    class Color(enum.Enum):
        RED = "{red}"
    class Model(pydantic.BaseModel):
        a: int = {a}
        def twice(self): return {factor} * self.a
    def main(m: Model): return Color.RED, m.twice()
    """
    base = {"red": "r", "a": 1, "factor": 2}
    before = main_of(program.format(**base))
    assert main_of(program.format(**base)) == before
    for change in ({"red": "x"}, {"a": 2}, {"factor": 3}):
        assert main_of(program.format(**base | change)) != before


def test_methods_partials_and_callable_objects_have_fingerprints():
    program = """
    import functools
    class Adder:
        def __init__(self, step): self.step = step
        def __call__(self, x): return x + self.step + {inner}
        def add(self, x): return x + self.step
    def plain(a, b): return a + b
    partial, method, instance = functools.partial(plain, {a}), Adder({a}).add, Adder({a})
    """
    one, same, other = (Cells().run(program.format(a=a, inner=0)) for a in (1, 1, 2))
    for name in ("partial", "method", "instance"):
        assert fingerprint(one[name]) == fingerprint(same[name])
        assert fingerprint(one[name]) != fingerprint(other[name])
    edited = Cells().run(program.format(a=1, inner=1))
    assert fingerprint(edited["instance"]) != fingerprint(one["instance"])


def test_what_an_installed_package_defines_counts_by_name():
    parts = fingerprint_parts(Cells().run("import numpy as np\ndef main(x): return np.linalg.norm(x) + len(x)")["main"])
    assert list(parts) == ["own code"]
    assert fingerprint(np.linalg.norm) == fingerprint(np.linalg.norm) != fingerprint(np.linalg.det)
    assert fingerprint(len) != fingerprint(max)


def test_a_large_captured_value_counts_by_type_and_shape_and_says_so_once():
    program = """
    import numpy as np
    weights_{name} = np.full({shape}, {value})
    def main(x): return weights_{name} @ x
    """
    base = {"name": next(SERIAL), "shape": (400, 400), "value": 1.0}
    with pytest.warns(UserWarning, match=r"captured weights_\d+ \(ndarray\) is larger than 1 MB"):
        before = main_of(program.format(**base))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert main_of(program.format(**base | {"value": 2.0})) == before
        assert main_of(program.format(**base | {"shape": (401, 400)})) != before
        assert main_of(program.format(**base | {"shape": (40, 40)})) != before


def test_a_running_thing_counts_by_its_type_without_a_word():
    program = """
    import threading
    class Session:
        def __init__(self):
            self.lock = threading.Lock()
            self.cache = {i: [str(i)] for i in range(50_000)}
            self.token = {token}
    session = Session()
    def main(x): return session.cache[x]
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parts = [fingerprint_parts(Cells().run(program.replace("{token}", token))["main"]) for token in "12"]
    assert parts[0]["captured session"] == parts[1]["captured session"]


def test_a_captured_value_of_any_depth_or_manners_does_no_harm():
    program = """
    chain = []
    for _ in range(2_000):
        chain = [chain]

    class Hostile:
        def __reduce_ex__(self, protocol): raise ZeroDivisionError
        def __eq__(self, other): raise ZeroDivisionError
        __hash__ = None
    hostile = Hostile()

    class Odd:
        field: "1 / 0"

    def main(x: Odd): return chain, hostile
    """
    assert main_of(program) == main_of(program)


def test_parts_say_what_a_function_depends_on():
    parts = fingerprint_parts(Cells().run(PROGRAM)["main"])
    expected = {
        "own code",
        "default start",
        "helper helper()",
        "helper deeper()",
        "helper decorated()",
        "helper add()",
        "helper Row.scaled()",
        "helper Step.make()",
        "captured THRESHOLD",
        "captured TABLE",
        "captured step",
        "captured Step.factor",
        "class Row",
        "class Step",
        "class Base",
    }
    assert expected <= parts.keys()


def test_a_difference_is_told_in_words():
    old = fingerprint_parts(Cells().run(PROGRAM)["main"])
    edited = PROGRAM.replace("THRESHOLD = 3", "THRESHOLD = 4").replace("deeper(x) + 1", "deeper(x) + extra()")
    new = fingerprint_parts(Cells().run(edited + "\ndef extra(): return 1")["main"])
    assert sorted(explain(old, new)) == [
        "captured THRESHOLD changed",
        "helper extra() added",
        "helper helper() changed",
    ]
    assert explain(old, old) == []


# --- code without source, and modules ---------------------------------------------------------------------------------


def sourceless(source: str) -> object:
    space: dict[str, object] = {"__name__": "__main__"}
    exec(compile(textwrap.dedent(source), "<nowhere>", "exec", dont_inherit=True), space)
    return space["main"]


def test_code_without_source_counts_by_its_bytecode():
    program = """
    LIMIT = {limit}
    def helper(x): return x + {step}
    def main(x):
        {doc}
        import math
        return [helper(math.sqrt(i)) for i in range(LIMIT)] + [x in {{"a", "b", "c"}}]
    """
    base = {"limit": 3, "step": 1, "doc": "'one'"}
    before = fingerprint(sourceless(program.format(**base)))
    assert fingerprint(sourceless("\n\n" + program.format(**base | {"doc": "'two'"}))) == before
    assert fingerprint(sourceless(program.format(**base | {"limit": 4}))) != before
    assert fingerprint(sourceless(program.format(**base | {"step": 2}))) != before


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes, and loads anew, a module `helpers_<n>` outside the installed packages."""
    name = f"helpers_{next(SERIAL)}"
    monkeypatch.syspath_prepend(tmp_path)
    # Python tells an edited file from its compiled one by size and time in seconds: here both may be equal.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def write(source: str, *, load: bool = True) -> str:
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(source))
        linecache.clearcache()
        if load:
            sys.modules.pop(name, None)
            sys.path_importer_cache.pop(str(tmp_path), None)
            exec(f"import {name}", {})
        return name

    yield write
    sys.modules.pop(name, None)


HELPERS = """
    FACTOR = 2
    def clean(x): return x * FACTOR
    def unused(x): return x
"""


@pytest.mark.parametrize(
    "cell",
    [
        "import {name} as helpers\ndef main(x): return helpers.clean(x)",
        "from {name} import clean\ndef main(x): return clean(x)",
        "def main(x):\n    import {name}\n    return {name}.clean(x)",
        "def main(x):\n    from {name} import clean\n    return clean(x)",
    ],
)
def test_editing_a_module_of_helpers_is_seen(module, cell):
    name = module(HELPERS)
    before = main_of(cell.format(name=name))
    module(HELPERS)
    assert main_of(cell.format(name=name)) == before
    module(HELPERS.replace("FACTOR = 2", "FACTOR = 3"))
    assert main_of(cell.format(name=name)) != before
    module(HELPERS.replace("x * FACTOR", "x + FACTOR"))
    assert main_of(cell.format(name=name)) != before


def test_what_nobody_uses_of_a_module_does_not_count(module):
    cell = f"import {module(HELPERS)} as helpers\ndef main(x): return helpers.clean(x)"
    before = main_of(cell)
    module(HELPERS.replace("def unused(x): return x", "def unused(x): return 5"))
    assert main_of(cell) == before


def test_a_module_that_is_imported_only_when_the_function_runs_counts_by_its_source(module):
    name = module(HELPERS)
    sys.modules.pop(name)
    cell = f"def main(x):\n    import {name}\n    return {name}.clean(x)"
    before = main_of(cell)
    module(HELPERS + "    # a remark", load=False)
    assert main_of(cell) == before
    module(HELPERS.replace("FACTOR = 2", "FACTOR = 3"), load=False)
    assert main_of(cell) != before


def test_a_module_that_was_edited_but_not_loaded_again_counts_as_what_is_running(module):
    name = module(HELPERS)
    function = sys.modules[name].clean
    before = Survey().of(function)
    module(HELPERS.replace("x * FACTOR", "x - FACTOR"), load=False)
    function.__code__ = function.__code__.replace()
    edited = fingerprint(function)
    module(HELPERS.replace("x * FACTOR", "x - FACTOR"))
    assert fingerprint(sys.modules[name].clean) != edited
    assert before.keys() == fingerprint_parts(sys.modules[name].clean).keys()


def test_the_source_of_this_file_is_found():
    def main(x: int) -> int:
        return x + 1

    def same(x: int) -> int:
        # with a remark
        return x + 1

    same.__name__ = "main"
    assert fingerprint(functools.partial(main, 1)) != fingerprint(functools.partial(main, 2))
    assert fingerprint_parts(main).keys() == fingerprint_parts(same).keys() == {"own code"}
