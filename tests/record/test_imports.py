"""What a function imports while it runs counts by source, the same before and after the import."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from flyte_notebook.record.fingerprint import fingerprint, fingerprint_parts
from tests.record.fingerprint_cases import Cells


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Writes modules into a folder that can be imported from: `many` is a package, `many_deep` a module in it."""
    monkeypatch.syspath_prepend(tmp_path)
    # Python tells an edited file from its compiled one by size and time in seconds: here both may be equal.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)

    def write(**sources: str) -> None:
        for name, source in sources.items():
            path = tmp_path.joinpath(*name.split("_")).with_suffix(".py")
            if not path.parent.exists():
                path.parent.mkdir()
                Path(path.parent, "__init__.py").touch()
            path.write_text(source)
            # Two edits within one tick of the file system's clock are two edits.
            os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns + len(edits)))
            edits.append(name)
        importlib.invalidate_caches()

    edits: list[str] = []
    yield write
    for name in set(sys.modules) - before:
        del sys.modules[name]


def function(body: str):
    scope = {"__name__": "__main__"}
    exec(compile(f"def main(x):\n    {body}", "<cell>", "exec", dont_inherit=True), scope)
    return scope["main"]


@pytest.mark.parametrize(
    ("body", "module"),
    [
        ("import wave; return wave.Error", "wave"),
        ("from mailbox import Mailbox; return Mailbox", "mailbox"),
        ("import xml.dom.pulldom as p; return p.SAX2DOM", "xml.dom.pulldom"),
        ("from os import path; return path.join", "os"),
        ("import nobody_has_this; return x", None),
        ("import own; return own.f(x)", "own"),
        ("from own import f; return f(x)", "own"),
        ("import many.deep; return many.deep.f(x)", "many.deep"),
        ("from many import deep; return deep.f(x)", "many.deep"),
        ("from many.deep import f; return f(x)", "many.deep"),
    ],
)
def test_a_fingerprint_is_the_same_before_and_after_the_import(files, body, module):
    program = """
import importlib, sys
sys.path.insert(0, sys.argv[1])
from flyte_notebook.record.fingerprint import fingerprint
scope = {}
exec(f"def main(x):\\n    {sys.argv[2]}", scope)
before = fingerprint(scope["main"])
loaded = sys.argv[3] in sys.modules
if sys.argv[3]:
    importlib.import_module(sys.argv[3])
print(loaded, before == fingerprint(scope["main"]))
"""
    files(own="def f(x): return x", many_deep="def f(x): return x")
    words = [sys.path[0], body, module or ""]
    found = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=True)
    assert found.stdout.split() == [str(module == "os"), "True"]


def test_what_an_imported_module_imports_itself_counts_too(files):
    files(first="import second\ndef f(x): return second.g(x)", second="from many.deep import h\ng = h")
    files(many_deep="from . import other\nh = other.K", many_other="K = 1", nobody="")
    main = function("import first; return first.f(x)")
    assert set(fingerprint_parts(main)) == {
        "own code", "module first", "module second", "module many", "module many.deep", "module many.other",
    }  # fmt: skip
    before = fingerprint(main)
    files(nobody="K = 2")
    assert fingerprint(main) == before
    files(many_other="K = 2")
    assert fingerprint(main) != before


@pytest.mark.parametrize(
    "body",
    [
        "return __import__('own').f(x)",
        "import importlib; return importlib.import_module('own').f(x)",
        "from importlib import import_module; return import_module('own').f(x)",
    ],
)
def test_a_module_that_is_named_in_text_counts(files, body):
    files(own="def f(x): return x")
    cells = Cells().run(f"def main(x): {body}")
    before = fingerprint(cells["main"])
    assert cells["main"](1) == 1
    assert fingerprint(cells["main"]) == before
    files(own="def f(x): return -x")
    importlib.reload(sys.modules["own"])
    assert fingerprint(cells["main"]) != before


def test_modules_that_import_each_other_have_a_fingerprint(files):
    files(first="import second", second="import first")
    assert set(fingerprint_parts(function("import first"))) == {"own code", "module first", "module second"}


def test_what_is_loaded_counts_until_it_is_loaded_again(files):
    files(first="import second\ndef f(x): return second.g(x)", second="K = 1\ndef g(x): return x + K")
    main = function("import first; return first.f(x)")
    before = fingerprint(main)
    import first  # type: ignore[import-not-found]

    assert fingerprint(main) == before
    files(second="K = 2\ndef g(x): return x + K")
    assert fingerprint(main) == before
    importlib.reload(first.second)
    assert fingerprint(main) != before


def test_a_module_that_was_edited_before_anybody_asked_counts_as_what_is_running(files):
    files(first="def f(x): return x + 1")
    main = function("import first; return first.f(x)")
    before = fingerprint(main)
    files(first="def f(x): return x + 1000")
    edited = fingerprint(main)
    import first  # type: ignore[import-not-found]

    files(first="def f(x): return x + 1")
    assert fingerprint(main) not in (before, edited)
    importlib.reload(first)
    assert fingerprint(main) == before


def test_relative_imports_count(files):
    files(many_deep="def f(x):\n    from .other import K\n    return x + K", many_other="K = 1")
    from many.deep import f  # type: ignore[import-not-found]

    before = fingerprint(f)
    files(many_other="K = 2")
    assert fingerprint(f) != before


def test_nothing_is_imported_to_find_out(files):
    files(first="raise AssertionError", many_deep="")
    fingerprint(function("import first, many.deep; from many.deep import thing"))
    assert not {"first", "many", "many.deep"} & set(sys.modules)
