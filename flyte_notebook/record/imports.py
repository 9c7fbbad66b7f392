"""What a function imports while it runs, told without importing anything: installed packages by name, a user's by source.

The same before and after the import: else a result made by the first call could not be used by the second. A user's
module counts with the user's modules that it imports itself, as it was when it was loaded, if it has been.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
import types
import weakref
from collections.abc import Iterator
from functools import lru_cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from flyte_notebook.record.digest import combined
from flyte_notebook.record.origin import is_users_file
from flyte_notebook.record.trees import is_current, parsed, shape


def absolute(name: str, package: str | None) -> str | None:
    """The full name of a module that may be given relative to `package` (`..tools`), or None where there is none."""
    if not name.startswith("."):
        return name
    try:
        return importlib.util.resolve_name(name, package)
    except ImportError:
        return None


def sources_of(name: str) -> dict[str, str]:
    """Digests of the source of a module, of its packages, and of all that these import, by module; users' only.

    `name` may go on with what is taken from a module (`package.module.function`).
    """
    found: dict[str, str] = {}
    waiting = [name]
    while waiting:
        for module, filename in _chain(waiting.pop()):
            if module in found:
                continue
            found[module] = _digest(module, filename)
            waiting += _imports(*_stamp(filename), package=_package(module, filename))
    return found


def _chain(name: str) -> Iterator[tuple[str, str]]:
    """The user's modules on the way to `name`, with their files: `a`, `a.b`, `a.b.c`."""
    path: list[str] | None = None
    module = ""
    for part in name.split("."):
        module = f"{module}.{part}" if module else part
        spec = _spec(module, path)
        if spec is None:
            return
        path = list(spec.submodule_search_locations or ())
        if spec.origin is not None and spec.has_location:
            if not is_users_file(spec.origin):
                return
            yield module, spec.origin
        elif not path or not all(map(is_users_file, path)):
            # Built in, or a folder of installed packages.
            return


def _spec(module: str, path: list[str] | None) -> ModuleSpec | None:
    loaded = sys.modules.get(module)
    if loaded is not None:
        spec: ModuleSpec | None = getattr(loaded, "__spec__", None)
        return spec
    try:
        # Of what is in a package not by `importlib.util`, which imports the packages around a module.
        return importlib.util.find_spec(module) if path is None else PathFinder.find_spec(module, path)
    except (ImportError, ValueError, AttributeError):
        return None


def _package(module: str, filename: str) -> str:
    return module if Path(filename).stem == "__init__" else module.rpartition(".")[0]


# --- as loaded --------------------------------------------------------------------------------------------------------

_loaded: dict[int, tuple[weakref.ref[ModuleSpec], str]] = {}
"""Digests of loaded modules, by id of the spec, which is a new one when a module is loaded again."""


def _digest(module: str, filename: str) -> str:
    loaded = sys.modules.get(module)
    spec = getattr(loaded, "__spec__", None)
    if loaded is None or spec is None:
        return source_digest(filename)
    key = id(spec)
    known = _loaded.get(key)
    if known is None or known[0]() is not spec:
        known = weakref.ref(spec, lambda _: _loaded.pop(key, None)), _first_digest(loaded, filename)
        _loaded[key] = known
    return known[1]


def _first_digest(module: types.ModuleType, filename: str) -> str:
    own = sorted((code.co_qualname, shape(code)) for code in _codes(module, filename))
    source = _read(filename)
    if source is not None and not all(is_current(code, source) for code in _codes(module, filename)):
        # Edited since it was loaded: what runs is not what stands there.
        return combined("loaded", repr(own).encode()).hex()
    return source_digest(filename)


def _codes(module: types.ModuleType, filename: str) -> Iterator[types.CodeType]:
    """Of the functions and methods that a module defines."""
    for thing in list(vars(module).values()):
        for each in (
            vars(thing).values() if isinstance(thing, type) and thing.__module__ == module.__name__ else (thing,)
        ):
            code = getattr(getattr(each, "__func__", each), "__code__", None)
            if isinstance(code, types.CodeType) and code.co_filename == filename:
                yield code


# --- as they stand there ----------------------------------------------------------------------------------------------


def source_digest(filename: str | None) -> str:
    """Of a whole module, without comments and formatting; by name where it has no readable source."""
    return _stripped(*_stamp(filename))


def _stamp(filename: str | None) -> tuple[str, int, int]:
    """A file, and what changes when it is edited."""
    try:
        status = Path(filename or "").stat()
    except (OSError, ValueError):
        return str(filename), 0, -1
    return str(filename), status.st_mtime_ns, status.st_size


def _read(filename: str) -> str | None:
    try:
        return importlib.util.decode_source(Path(filename).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return None


def _tree(filename: str) -> ast.Module | None:
    source = _read(filename)
    try:
        return None if source is None else parsed(source)
    except (SyntaxError, ValueError):
        return None


@lru_cache(maxsize=1024)
def _stripped(filename: str, changed: int, size: int) -> str:
    tree = _tree(filename)
    return combined("unreadable", filename.encode()).hex() if tree is None else combined(ast.dump(tree)).hex()


@lru_cache(maxsize=1024)
def _imports(filename: str, changed: int, size: int, *, package: str) -> tuple[str, ...]:
    """The modules, and what is taken from them, that a source names in its imports."""
    tree = _tree(filename)
    names: set[str | None] = set()
    for node in ast.walk(tree) if tree is not None else ():
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = absolute("." * node.level + (node.module or ""), package)
            names.update(f"{module}.{alias.name}" for alias in node.names if module)
    return tuple(sorted(filter(None, names)))
