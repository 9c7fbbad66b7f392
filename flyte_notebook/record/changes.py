"""What some code changes as it runs, read from its source: names it binds anew, values it changes in place."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from flyte_notebook.record.trees import Function

_CHANGERS = frozenset(
    [
        "add",
        "append",
        "appendleft",
        "clear",
        "difference_update",
        "discard",
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
    ["next", "heappush", "heappop", "heapify", "heapreplace", "heappushpop", "insort", "shuffle", "copyto"]
)
"""Functions that change their first argument."""
_SETTERS = frozenset(["setattr", "delattr", "__setattr__", "__delattr__"])
IN_PLACE = frozenset(["__iadd__", "__iand__", "__imul__", "__ior__", "__isub__", "__ixor__"])
ANYHOW = "*"
"""How a value is changed that no method of its class tells more about."""


@dataclass(frozen=True, slots=True, order=True)
class Change:
    """One thing that code changes."""

    chain: tuple[str, ...]
    """A name from outside, or a parameter, with the attributes that lead on from it: `("self", "cache")`."""
    how: str = ""
    """The method that changes it in place (`append`, `__setitem__`), or ANYHOW; empty: it is bound anew."""


@dataclass(frozen=True, slots=True, order=True)
class Pass:
    """A value from outside, or a parameter, that is passed on to a function from outside."""

    function: tuple[str, ...]
    parameter: str
    """Its name, or its number where it is passed by position."""
    chain: tuple[str, ...]


@dataclass(slots=True)
class Changes:
    """All that some code changes."""

    outside: set[Change] = field(default_factory=set)
    parameters: set[Change] = field(default_factory=set)
    """Of the values that its own parameters were given."""
    passes: set[Pass] = field(default_factory=set)
    mentions: set[tuple[str, ...]] = field(default_factory=set)
    """Every attribute that is mentioned, which may be a method that is called, after what it is taken from: names as of a
    change, or `("",)` where these are not known. `rate=` is the setter of a property.
    """


def changes_of(node: Function, outside: set[str]) -> Changes:
    """What the body of a function changes beside names; `outside`: those that it takes from around it."""
    body = node.body if isinstance(node.body, list) else [node.body]
    parameters = [arg.arg for arg in arguments(node.args)]
    bound = Counter(name for part in body for name in _bound(part))
    finder = _Finder(outside, parameters, bound)
    for part in body:
        finder.alias(part)
    for part in body:
        finder.visit(part)
    return finder.changes


def arguments(args: ast.arguments) -> list[ast.arg]:
    """All parameters of a function, those by position first."""
    variable = [arg for arg in (args.vararg, args.kwarg) if arg is not None]
    return [*args.posonlyargs, *args.args, *args.kwonlyargs, *variable]


def chain_of(node: ast.expr) -> tuple[str, ...] | None:
    """`("a", "b")` for `a.b`, or None where an expression is more than names."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return (node.id, *reversed(names)) if isinstance(node, ast.Name) else None


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


class _Finder(ast.NodeVisitor):
    def __init__(self, outside: set[str], parameters: list[str], bound: Counter[str]) -> None:
        self.changes = Changes()
        self._outside = outside
        # A parameter that is bound anew may be a copy by the time that it is changed.
        self._parameters = {name for name in parameters if not bound[name]}
        self._self = parameters[0] if parameters else ""
        self._bound = bound
        self._aliases: dict[str, tuple[str, ...]] = {}

    def alias(self, part: ast.AST) -> None:
        """Note the local names that stand for something from outside wherever they are used."""
        for node in ast.walk(part):
            if isinstance(node, ast.Assign) and len(node.targets) == 1:
                target: ast.expr = node.targets[0]
            elif isinstance(node, ast.AnnAssign | ast.NamedExpr):
                target = node.target
            else:
                continue
            if isinstance(target, ast.Name) and self._bound[target.id] == 1 and target.id not in self._outside:
                chain = None if node.value is None else self._chain(node.value)
                if chain is not None:
                    self._aliases[target.id] = chain

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self._mention(node.value, node.attr)
        if not isinstance(node.ctx, ast.Load):
            self._mention(node.value, f"{node.attr}=")
            chain = self._chain(node)
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
            if _is_super(function.value) and (last in _CHANGERS or last in ("__setitem__", "__delitem__")):
                self._changed(function.value, ANYHOW)
            elif last in _CHANGERS:
                self._changed(function.value, last)
        if first is not None and last in _FIRST:
            self._changed(first, ANYHOW)
        elif first is not None and last in _SETTERS:
            self._set(first, node.args[1:])
        if chain := self._chain(function):
            # It may be a class.
            self.changes.mentions.add((*chain, "__init__"))
        for keyword in node.keywords:
            self._keyword(function, keyword)
        self._passed(node)
        self.generic_visit(node)

    def _set(self, target: ast.expr, names: list[ast.expr]) -> None:
        chain = self._chain(target)
        if chain is not None and names and isinstance(names[0], ast.Constant) and isinstance(names[0].value, str):
            self._note((*chain, names[0].value), "")
            self._mention(target, f"{names[0].value}=")
        else:
            self._changed(target, ANYHOW)

    def _keyword(self, function: ast.expr, keyword: ast.keyword) -> None:
        if keyword.arg == "out":
            results = keyword.value.elts if isinstance(keyword.value, ast.Tuple) else [keyword.value]
            for result in results:
                self._changed(result, ANYHOW)
        elif keyword.arg == "inplace" and isinstance(function, ast.Attribute) and ast.unparse(keyword.value) == "True":
            self._changed(function.value, ANYHOW)

    def _mention(self, receiver: ast.expr, name: str) -> None:
        self.changes.mentions.add((*(self._chain(receiver) or ("",)), name))

    def _passed(self, node: ast.Call) -> None:
        function = chain_of(node.func)
        if function is None or function[0] not in self._outside:
            return
        passed = [(str(i), arg) for i, arg in enumerate(node.args)]
        if any(isinstance(arg, ast.Starred) for arg in node.args):
            passed = []
        passed += [(keyword.arg, keyword.value) for keyword in node.keywords if keyword.arg is not None]
        for parameter, arg in passed:
            chain = self._chain(arg)
            if chain is not None:
                self.changes.passes.add(Pass(function, parameter, chain))

    def _changed(self, target: ast.expr, how: str) -> None:
        """Note what an expression that is changed in place leads back to."""
        while (chain := self._chain(target)) is None and isinstance(target, ast.Attribute | ast.Subscript):
            target, how = target.value, ANYHOW
        if chain is not None:
            self._note(chain, how)

    def _note(self, chain: tuple[str, ...], how: str) -> None:
        if chain[0] in self._outside:
            self.changes.outside.add(Change(chain, how))
        else:
            self.changes.parameters.add(Change(chain, how))

    def _chain(self, node: ast.expr) -> tuple[str, ...] | None:
        """As `chain_of`, from a name that is known here on."""
        names: list[str] = []
        while isinstance(node, ast.Attribute):
            names.append(node.attr)
            node = node.value
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "type" and node.args:
            # `type(self).count += 1`
            names.append("__class__")
            node = node.args[0]
        root = self._self if _is_super(node) else getattr(node, "id", "")
        start = self._aliases.get(root) or ((root,) if root in self._outside or root in self._parameters else None)
        return None if start is None else (*start, *reversed(names))


def _is_super(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "super" and not node.args
