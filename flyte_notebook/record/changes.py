"""What some code changes as it runs, read from its source: names it binds anew, values it changes in place."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from flyte_notebook.record.aliases import Aliases, Chain, chain_of, is_super, returned
from flyte_notebook.record.trees import Function

_CHANGERS = frozenset(
    [
        "add",
        "append",
        "appendleft",
        "callback",
        "clear",
        "difference_update",
        "discard",
        "enter_async_context",
        "enter_context",
        "extend",
        "extendleft",
        "fill",
        "insert",
        "intersection_update",
        "itemset",
        "move_to_end",
        "pop",
        "popitem",
        "popleft",
        "put",
        "put_nowait",
        "release",
        "remove",
        "resize",
        "reverse",
        "rotate",
        "send",
        "set",
        "setdefault",
        "setflags",
        "sort",
        "symmetric_difference_update",
        "subtract",
        "update",
        "write",
        "writelines",
    ]
)
"""Methods that change what they are called on."""
_FIRST = frozenset(
    [
        *("next", "heappush", "heappop", "heapify", "heapreplace", "heappushpop", "insort", "shuffle", "copyto"),
        *("setitem", "delitem"),
    ]
)
"""Functions that change their first argument."""
_SETTERS = frozenset(["setattr", "delattr", "__setattr__", "__delattr__"])
IN_PLACE = frozenset(["__iadd__", "__iand__", "__imul__", "__ior__", "__isub__", "__ixor__"])
ANYHOW = "*"
"""How a value is changed that no method of its class tells more about."""
INSIDE = "[]"
"""How a list or a dict is changed by what changes a value that is held in it."""


@dataclass(frozen=True, slots=True, order=True)
class Change:
    """One thing that code changes."""

    chain: Chain
    how: str = ""
    """The method that changes it in place (`append`, `__setitem__`), ANYHOW, or INSIDE; empty: it is bound anew."""


@dataclass(frozen=True, slots=True, order=True)
class Pass:
    """A value from outside, or a parameter, that is passed on to a function from outside."""

    function: Chain
    parameter: str
    """Its name, or its number where it is passed by position, or ANYHOW."""
    chain: Chain
    inside: bool
    """Whether a part of it is passed."""


@dataclass(slots=True)
class Changes:
    """All that some code changes."""

    outside: set[Change] = field(default_factory=set)
    parameters: set[Change] = field(default_factory=set)
    """Of the values that its own parameters were given."""
    passes: set[Pass] = field(default_factory=set)
    returns: set[Change] = field(default_factory=set)
    """What whoever calls it can change."""
    mentions: set[tuple[str, ...]] = field(default_factory=set)
    """Every attribute that is mentioned, which may be a method that is called, after what it is taken from: names as of a
    change, or `("",)` where these are not known. `rate=` is the setter of a property.
    """


def changes_of(node: Function, outside: set[str]) -> Changes:
    """What the body of a function changes beside names; `outside`: those that it takes from around it."""
    body = node.body if isinstance(node.body, list) else [node.body]
    finder = _Finder(outside, Aliases(node.args, body, outside))
    for part in body:
        finder.visit(part)
    for value in [node.body] if isinstance(node, ast.Lambda) else returned(body):
        finder.returned(value)
    return finder.changes


class _Finder(ast.NodeVisitor):
    def __init__(self, outside: set[str], aliases: Aliases) -> None:
        self.changes = Changes()
        self._outside = outside
        self._aliases = aliases

    def returned(self, value: ast.expr) -> None:
        """Note what is returned, for who changes it then."""
        for chain, inside in self._aliases.origins(value):
            if chain[0] in self._outside:
                self.changes.returns.add(Change(chain, INSIDE if inside else ""))

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self._mention(node.value, node.attr)
        if not isinstance(node.ctx, ast.Load):
            self._mention(node.value, f"{node.attr}=")
            chain = self._aliases.chain(node)
            if chain is not None:
                self._note(chain, "")
            else:
                self._changed(node.value, ANYHOW)
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if not isinstance(node.ctx, ast.Load):
            how = "__setitem__" if isinstance(node.ctx, ast.Store) else "__delitem__"
            self._changed(node.value, how)
            self._mention(node.value, how)
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        for how in IN_PLACE:
            self._mention(node.target, how)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        function, first = node.func, node.args[0] if node.args else None
        last = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        if isinstance(function, ast.Attribute):
            if is_super(function.value) and (last in _CHANGERS or last in ("__setitem__", "__delitem__")):
                self._changed(function.value, ANYHOW)
            elif last in _CHANGERS:
                self._changed(function.value, last)
        if first is not None and last in _FIRST:
            self._changed(first, ANYHOW)
        elif first is not None and last in _SETTERS:
            self._set(first, node.args[1:])
        if chain := self._aliases.chain(function):
            # It may be a class.
            self.changes.mentions.add((*chain, "__init__"))
        for keyword in node.keywords:
            self._keyword(function, keyword)
        self._passed(node)
        self.generic_visit(node)

    def _set(self, target: ast.expr, names: list[ast.expr]) -> None:
        chain = self._aliases.chain(target)
        if chain is not None and names and isinstance(names[0], ast.Constant) and isinstance(names[0].value, str):
            self._note((*chain, names[0].value), "")
            self._mention(target, f"{names[0].value}=")
        else:
            self._changed(target, ANYHOW)

    def _keyword(self, function: ast.expr, keyword: ast.keyword) -> None:
        if keyword.arg in ("out", "file"):
            results = keyword.value.elts if isinstance(keyword.value, ast.Tuple) else [keyword.value]
            for result in results:
                self._changed(result, ANYHOW)
        elif keyword.arg == "inplace" and isinstance(function, ast.Attribute) and ast.unparse(keyword.value) == "True":
            self._changed(function.value, ANYHOW)

    def _mention(self, receiver: ast.expr, name: str) -> None:
        self.changes.mentions.add((*(self._aliases.chain(receiver) or ("",)), name))

    def _passed(self, node: ast.Call) -> None:
        # Also to a function that is passed itself, for another to call it: `to_thread(note, log)`.
        for i, function in enumerate([node.func, *node.args]):
            chain = chain_of(function)
            if chain is not None and chain[0] in self._outside:
                self._passed_to(chain, node.args[i:], node.keywords)

    def _passed_to(self, function: Chain, args: list[ast.expr], keywords: list[ast.keyword]) -> None:
        starred = [isinstance(arg, ast.Starred) for arg in args]
        passed = [(ANYHOW if any(starred[: i + 1]) else str(i), arg) for i, arg in enumerate(args)]
        passed += [(keyword.arg, keyword.value) for keyword in keywords if keyword.arg is not None]
        for parameter, arg in passed:
            for chain, inside in self._aliases.origins(arg):
                self.changes.passes.add(Pass(function, parameter, chain, inside))

    def _changed(self, target: ast.expr, how: str) -> None:
        """Note what an expression that is changed in place leads back to."""
        while self._aliases.chain(target) is None and isinstance(target, ast.Attribute | ast.Subscript):
            target, how = target.value, ANYHOW
        for chain, inside in self._aliases.origins(target):
            self._note(chain, INSIDE if inside else how)

    def _note(self, chain: tuple[str, ...], how: str) -> None:
        if chain[0] in self._outside:
            self.changes.outside.add(Change(chain, how))
        else:
            self.changes.parameters.add(Change(chain, how))
