"""What the code of a function is and which names it uses, read from its source, or its bytecode where there is none."""

from __future__ import annotations

import ast
import dis
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import CodeType

from flyte_notebook.record.aliases import arguments, chain_of
from flyte_notebook.record.changes import Change, Changes, changes_of
from flyte_notebook.record.spelled import globals_in, module_imported, spelled_out
from flyte_notebook.record.trees import Function, nested, node_of, parsed, shape


@dataclass(slots=True)
class Uses:
    """The names from outside that some code uses."""

    text: str
    """The code in a normal form, without what does not matter: position, comments, docstrings, own decorators."""
    chains: set[tuple[str, ...]] = field(default_factory=set)
    """Names read, each with the attributes taken from it: `("helpers", "clean")`."""
    changes: Changes = field(default_factory=Changes)
    imports: set[tuple[str, str | None]] = field(default_factory=set)
    """Modules imported inside (relative ones with their dots), with the name taken from each, or None."""


_known: dict[int, tuple[weakref.ref[CodeType], Uses]] = {}
"""By id: code objects are equal, and hash alike, when they differ in their annotations only."""


def uses_of(code: CodeType) -> Uses:
    """The normal form of some code, and the names it uses; remembered as long as the code lives."""
    key = id(code)
    known = _known.get(key)
    if known is not None and known[0]() is code:
        return known[1]
    uses = _from_source(code) or _from_bytecode(code)
    _known[key] = weakref.ref(code, lambda _: _known.pop(key, None)), uses
    return uses


def _from_source(code: CodeType) -> Uses | None:
    try:
        node = node_of(code)
        return None if node is None else _from_tree(node, code)
    except (SyntaxError, ValueError, RecursionError):
        # Generated code may be nested deeper than Python's own tools can follow.
        return None


def _from_tree(node: Function, code: CodeType) -> Uses:
    text = ast.dump(_normal(node))
    node = spelled_out(_copied(node))
    spelled = list(globals_in(node))
    outside = outside_names(code).union(name.id for name in spelled)
    uses = Uses(text, changes=changes_of(node, outside))
    uses.changes.outside.update(_rebound(code))
    uses.changes.outside.update(Change((name.id,)) for name in spelled if not isinstance(name.ctx, ast.Load))
    _Reader(uses, outside).visit(node)
    return uses


def outside_names(code: CodeType) -> set[str]:
    """Names that code, with the functions and classes nested in it, takes from its globals or from around it."""
    names = set(code.co_freevars)
    for each in nested(code):
        for instruction in dis.get_instructions(each):
            if instruction.opname in _OUTSIDE:
                names.add(instruction.argval)
    return names


def _rebound(code: CodeType) -> Iterator[Change]:
    """The names from outside that code binds anew, in whatever way: `global np; import numpy as np`."""
    for each in nested(code):
        for instruction in dis.get_instructions(each):
            name = instruction.argval
            if instruction.opname in _REBINDS or (instruction.opname in _REBINDS_CELL and name in code.co_freevars):
                yield Change((name,))


_REBINDS = frozenset(["STORE_GLOBAL", "DELETE_GLOBAL"])
_REBINDS_CELL = frozenset(["STORE_DEREF", "DELETE_DEREF"])
_OUTSIDE = _REBINDS | {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS", "LOAD_FROM_DICT_OR_DEREF"}


class _Stripper(ast.NodeTransformer):
    """Takes docstrings out."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._without_docstring(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self._without_docstring(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return self._without_docstring(node)

    def _without_docstring(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> ast.AST:
        self.generic_visit(node)
        first = node.body[0]
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
            node.body = node.body[1:] or [ast.Pass()]
        return node


def _normal(node: Function) -> Function:
    """`node` without docstrings, its own decorators and the expressions of its defaults (whose values count)."""
    copy = _copied(node)
    copy.args.defaults = [ast.Constant(...) for _ in copy.args.defaults]
    copy.args.kw_defaults = [None if default is None else ast.Constant(...) for default in copy.args.kw_defaults]
    _Stripper().visit(copy)
    return copy


def _copied(node: Function) -> Function:
    (copy,) = parsed(ast.unparse(node)).body
    if isinstance(copy, ast.Expr) and isinstance(copy.value, ast.Lambda):
        return copy.value
    assert isinstance(copy, ast.FunctionDef | ast.AsyncFunctionDef)
    copy.decorator_list = []
    return copy


class _Reader(ast.NodeVisitor):
    """Notes which outside names a function reads."""

    def __init__(self, uses: Uses, outside: set[str]) -> None:
        self._uses = uses
        self._outside = outside
        self._depth = 0
        self._annotating = False
        """In an annotation of the function itself, which is read around it."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._function(node)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._function(node)

    def _function(self, node: Function) -> None:
        self._depth += 1
        if self._depth > 1:
            self.generic_visit(node)
        else:
            # Its decorators and defaults were evaluated around it, once: their values count, not their names.
            annotations = [a.annotation for a in arguments(node.args) if a.annotation is not None]
            returns = getattr(node, "returns", None)
            body = node.body if isinstance(node.body, list) else [node.body]
            self._annotating = True
            for part in (*annotations, *([returns] if returns is not None else [])):
                self.visit(part)
            self._annotating = False
            for part in body:
                self.visit(part)
        self._depth -= 1

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            self._read((node.id,))

    def visit_Attribute(self, node: ast.Attribute) -> None:
        chain = chain_of(node)
        if chain is None:
            self.generic_visit(node)
        else:
            self._read(chain if isinstance(node.ctx, ast.Load) else chain[:1])

    def visit_Call(self, node: ast.Call) -> None:
        if module := module_imported(node):
            self._uses.imports.add((module, None))
        self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        self._uses.imports.update((alias.name, None) for alias in node.names)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        module = "." * node.level + (node.module or "")
        self._uses.imports.update((module, alias.name) for alias in node.names)

    def _read(self, chain: tuple[str, ...]) -> None:
        # A local variable is none of the global ones that happen to have its name.
        if self._annotating or chain[0] in self._outside:
            self._uses.chains.add(chain)


def _from_bytecode(code: CodeType) -> Uses:
    uses = Uses(f"bytecode {shape(code)}")
    uses.changes.outside.update(_rebound(code))
    for each in nested(code):
        chain: tuple[str, ...] = ()
        for instruction in dis.get_instructions(each):
            if instruction.opname in ("LOAD_ATTR", "LOAD_METHOD", "STORE_ATTR"):
                uses.changes.mentions.add(("", instruction.argval + "=" * (instruction.opname == "STORE_ATTR")))
            if instruction.opname in ("LOAD_ATTR", "LOAD_METHOD") and chain:
                chain = (*chain, instruction.argval)
                uses.chains.add(chain)
            elif instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF", "LOAD_CLASSDEREF"):
                chain = (instruction.argval,)
                uses.chains.add(chain)
            elif instruction.opname not in ("CACHE", "PUSH_NULL", "PRECALL", "RESUME"):
                chain = ()
            if instruction.opname == "IMPORT_NAME":
                uses.imports.add((instruction.argval, None))
    return uses
