"""From a code object to the syntax tree it was compiled from, and to a form that leaves out positions."""

from __future__ import annotations

import ast
import gc
import inspect
import linecache
from collections.abc import Iterator
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from types import CodeType
from typing import TypeAlias

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


def nested(code: CodeType) -> Iterator[CodeType]:
    """The code, and that of the functions and classes in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from nested(constant)


def shape(code: CodeType) -> str:
    """All of a code object but positions and the docstring; equal in every kernel of one version of Python."""
    constants = [shape(c) if isinstance(c, CodeType) else _constant(c) for c in code.co_consts]
    if _has_docstring(code):
        constants[0] = "None"
    parts = (code.co_name, code.co_code.hex(), code.co_names, code.co_varnames, code.co_freevars, code.co_flags)
    return repr((*parts, constants))


def _has_docstring(code: CodeType) -> bool:
    flag = getattr(inspect, "CO_HAS_DOCSTRING", None)
    if flag is not None:
        return bool(code.co_flags & flag)
    # Until Python 3.14, the first constant of a function was its docstring, if it was a string at all.
    is_function = code.co_flags & inspect.CO_OPTIMIZED and code.co_flags & inspect.CO_NEWLOCALS
    return bool(is_function and code.co_consts and isinstance(code.co_consts[0], str))


def _constant(value: object) -> str:
    if isinstance(value, frozenset):
        return f"frozenset({sorted(map(repr, value))})"
    return f"{type(value).__name__} {value!r}"


def node_of(code: CodeType) -> Function | None:
    """The syntax tree of a function's source, or None where there is none, or where it is not what is running."""
    source = "".join(linecache.getlines(code.co_filename))
    if not source:
        return None
    if Path(code.co_filename).is_file():
        linecache.checkcache(code.co_filename)
        source = "".join(linecache.getlines(code.co_filename))
        if not is_current(code, source):
            # The file was edited and its module not loaded again: what runs is not what stands there.
            return None
    found = [node for node in _functions(source).get((code.co_firstlineno, code.co_name), ()) if _spans(node, code)]
    return min(found, key=_extent) if found else None


def parsed(source: str | bytes) -> ast.Module:
    """The syntax tree of a source, in which `await` may stand anywhere.

    Without garbage collection meanwhile: a finaliser that formats a traceback parses as well, and CPython 3.11 then ends
    the outer parse with a SystemError.

    Raises:
        SyntaxError, ValueError: it is no Python.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        tree: ast.Module = compile(
            source, "<source>", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True
        )
        return tree
    finally:
        if collecting:
            gc.enable()


@lru_cache(maxsize=64)
def _functions(source: str) -> dict[tuple[int, str], list[Function]]:
    """The functions of a source by first line (of the first decorator) and name."""
    try:
        tree = parsed(source)
    except (SyntaxError, ValueError):
        return {}
    found: dict[tuple[int, str], list[Function]] = {}
    for node in ast.walk(tree):
        if isinstance(node, _FUNCTIONS):
            decorators = getattr(node, "decorator_list", [])
            line = min([node.lineno, *(d.lineno for d in decorators)])
            found.setdefault((line, getattr(node, "name", "<lambda>")), []).append(node)
    return found


def _spans(node: Function, code: CodeType) -> bool:
    """Whether the code lies inside `node`: several lambdas may share a line."""
    start, end = (node.lineno, node.col_offset), (node.end_lineno or 0, node.end_col_offset or 0)
    for line, end_line, column, end_column in code.co_positions():
        if None in (line, end_line, column, end_column) or (line == code.co_firstlineno and column == end_column == 0):
            continue
        inside = start <= (line or 0, column or 0) and (end_line or 0, end_column or 0) <= end
        decorated = (line or 0) < node.lineno
        if not inside and not decorated:
            return False
    return True


def _extent(node: Function) -> tuple[int, int]:
    return ((node.end_lineno or 0) - node.lineno, (node.end_col_offset or 0) - node.col_offset)


@lru_cache(maxsize=64)
def _compiled(filename: str, source: str) -> dict[tuple[int, str], list[str]]:
    try:
        module = compile(source, filename, "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return {}
    shapes: dict[tuple[int, str], list[str]] = {}
    for code in nested(module):
        shapes.setdefault((code.co_firstlineno, code.co_name), []).append(_digest(shape(code)))
    return shapes


def is_current(code: CodeType, source: str) -> bool:
    """Whether this is what the source of its file compiles to."""
    known = _compiled(code.co_filename, source).get((code.co_firstlineno, code.co_name), ())
    return _digest(shape(code)) in known


def _digest(text: str) -> str:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
