"""Which values from outside the names and expressions in a function stand for, or for a part of."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TypeAlias

Chain: TypeAlias = tuple[str, ...]
"""A name from outside, or a parameter, with the attributes that lead on from it: `("self", "cache")`."""
Origin: TypeAlias = tuple[Chain, bool]
"""What something may be, or, if the second is true, may be a part of."""

RETURNED = "()"
"""In place of an attribute: what a call of it returns."""
_GETTERS = frozenset(["get", "setdefault", "items", "values"])
"""Methods of a dict that hand out what is in it."""
_LOOPS = frozenset(["enumerate", "iter", "list", "reversed", "sorted", "tuple", "zip"])
"""Functions to loop through, which hand out what is in their arguments."""


def arguments(args: ast.arguments) -> list[ast.arg]:
    """All parameters of a function, those by position first."""
    variable = [arg for arg in (args.vararg, args.kwarg) if arg is not None]
    return [*args.posonlyargs, *args.args, *args.kwonlyargs, *variable]


def chain_of(node: ast.expr) -> Chain | None:
    """`("a", "b")` for `a.b`, or None where an expression is more than names."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return (node.id, *reversed(names)) if isinstance(node, ast.Name) else None


class Aliases:
    """What local names stand for, wherever they are used: of those that are bound only once."""

    def __init__(self, args: ast.arguments, body: list[ast.stmt] | list[ast.expr], outside: set[str]) -> None:
        """`outside`: the names that the function takes from around it."""
        names = [arg.arg for arg in arguments(args)]
        self._bound = Counter(name for part in body for name in _bound(part))
        self._outside = outside
        # A parameter that is bound anew may be a copy by the time that it is changed.
        self._parameters = {name for name in names if not self._bound[name]}
        self._self = names[0] if names else ""
        self._exact: dict[str, Chain] = {}
        self._origins: dict[str, list[Origin]] = {}
        for node in (node for part in body for node in _in_order(part)):
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    self._note(target, node.value)
            elif isinstance(node, ast.AnnAssign | ast.NamedExpr) and node.value is not None:
                self._note(node.target, node.value)
            elif isinstance(node, ast.For | ast.AsyncFor | ast.comprehension):
                for looped in _looped(node.iter):
                    self._note_parts(node.target, looped)

    def _note(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Tuple | ast.List):
            if isinstance(value, ast.Tuple | ast.List) and len(value.elts) == len(target.elts):
                for part, given in zip(target.elts, value.elts, strict=True):
                    self._note(part, given)
            else:
                self._note_parts(target, value)
        elif isinstance(target, ast.Name) and self._is_one(target.id):
            chain = self.chain(value)
            if chain is not None:
                self._exact[target.id] = chain
            else:
                self._origins.setdefault(target.id, []).extend(self.origins(value))

    def _note_parts(self, target: ast.expr, value: ast.expr) -> None:
        for node in ast.walk(target):
            if isinstance(node, ast.Name) and self._is_one(node.id):
                self._origins.setdefault(node.id, []).extend((chain, True) for chain, _ in self.origins(value))

    def _is_one(self, name: str) -> bool:
        return self._bound[name] == 1 and name not in self._outside

    def chain(self, node: ast.expr) -> Chain | None:
        """What an expression is, if it is nothing else."""
        names: list[str] = []
        while isinstance(node, ast.Attribute):
            names.append(node.attr)
            node = node.value
        if isinstance(node, ast.Await):
            node = node.value
        called = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
        if isinstance(node, ast.Call) and called == "type" and node.args:
            # `type(self).count += 1`
            names.append("__class__")
            node = node.args[0]
        elif isinstance(node, ast.Call) and called in self._outside and not is_super(node):
            names.append(RETURNED)
            node = node.func
        root = self._self if is_super(node) else node.id if isinstance(node, ast.Name) else ""
        start = self._exact.get(root) or ((root,) if root in self._outside or root in self._parameters else None)
        return None if start is None else (*start, *reversed(names))

    def origins(self, node: ast.expr) -> Iterator[Origin]:
        """What an expression may be, or be a part of."""
        chain = self.chain(node)
        if chain is not None:
            yield chain, False
        elif isinstance(node, ast.Name):
            yield from self._origins.get(node.id, ())
        elif isinstance(node, ast.IfExp):
            yield from (*self.origins(node.body), *self.origins(node.orelse))
        elif isinstance(node, ast.BoolOp):
            yield from (origin for value in node.values for origin in self.origins(value))
        elif isinstance(node, ast.NamedExpr):
            yield from self.origins(node.value)
        elif holder := _holder(node):
            yield from ((chain, True) for chain, _ in self.origins(holder))


def _holder(node: ast.expr) -> ast.expr | None:
    """What an expression takes a part of. A slice of a list is a new list."""
    if isinstance(node, ast.Attribute | ast.Starred):
        return node.value
    if isinstance(node, ast.Subscript) and not isinstance(node.slice, ast.Slice):
        return node.value
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _GETTERS:
        return node.func.value
    return None


def _looped(node: ast.expr) -> Iterator[ast.expr]:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _LOOPS:
        for arg in node.args:
            yield from _looped(arg)
    else:
        yield node


def is_super(node: ast.expr) -> bool:
    """Whether it is `super()`."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "super" and not node.args


def _in_order(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    for child in ast.iter_child_nodes(node):
        yield from _in_order(child)


def _bound(part: ast.AST) -> Iterator[str]:
    """The names bound somewhere in a part of a function, once for each time."""
    for node in ast.walk(part):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.ExceptHandler | ast.MatchAs):
            yield node.name or ""
        elif isinstance(node, ast.alias):
            yield (node.asname or node.name).partition(".")[0]


def returned(body: Iterable[ast.AST]) -> Iterator[ast.expr]:
    """What a function returns, without what functions inside return."""
    for node in body:
        if isinstance(node, ast.Return) and node.value is not None:
            yield node.value
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            yield from returned(ast.iter_child_nodes(node))
