"""What functions do to the values that others pass to them, by the names and objects that lead to the functions."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from flyte_notebook.record.anatomy import attribute_of, cells_of, layers_of
from flyte_notebook.record.changes import ANYHOW, INSIDE, Change, Pass
from flyte_notebook.record.methods import function_of, is_open
from flyte_notebook.record.origin import is_users_file
from flyte_notebook.record.syntax import uses_of

Place: TypeAlias = tuple[int, str]
"""The namespace or object (by id) that holds something, and the name it has there."""
Lookup: TypeAlias = Callable[[str, types.FunctionType, Mapping[str, Any]], tuple[Place | None, Any]]
"""Says where a name of a function is held, and its value."""


def passed(lookup: Lookup, caller: types.FunctionType, given: Pass, seen: set[Any]) -> Iterator[Change]:
    """What a function does to a value that `caller` passes on to it, as changes by the caller."""
    parameter, bound = given.parameter, 0
    _, function = lookup(given.function[0], caller, cells_of(caller))
    for name in given.function[1:]:
        owner = function
        function = attribute_of(owner, name, None) if is_open(owner) else None
        if function is None and is_open(owner):
            function, bound = function_of(owner, name)
    if not isinstance(function, types.FunctionType):
        return
    for change in done(lookup, function, str(int(parameter) + bound) if parameter.isdigit() else parameter, seen):
        inside = given.inside or parameter == ANYHOW
        yield Change(given.chain, INSIDE) if inside else Change((*given.chain, *change.chain[1:]), change.how)


def done(lookup: Lookup, function: types.FunctionType, parameter: str, seen: set[Any]) -> Iterator[Change]:
    """What a function does to a parameter, of this name or number; ANYHOW: to any that is passed by position."""
    *_, function = layers_of(function)
    code, changes = function.__code__, uses_of(function.__code__).changes
    if not is_users_file(code.co_filename) or (function, parameter) in seen:
        return
    seen.add((function, parameter))
    positional = code.co_varnames[: code.co_argcount]
    names = positional if parameter == ANYHOW else (parameter,)
    if parameter.isdigit():
        names = positional[int(parameter) :][:1]
    yield from (change for change in changes.parameters if change.chain[0] in names)
    for further in changes.passes:
        if further.chain[0] in names:
            yield from passed(lookup, function, further, seen)
