"""What code names in text (`globals()["f"]`, `getattr(x, "f")`), rewritten as if it were written out."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TypeVar

_Node = TypeVar("_Node", bound=ast.AST)

_GLOBAL = "globals()."
"""Begins the name of what is looked up in the globals, though a local variable may have its name."""


def spelled_out(node: _Node) -> _Node:
    """`node`, changed in place."""
    _Speller().visit(node)
    return node


def globals_in(node: ast.AST) -> Iterator[ast.Name]:
    """The names in `node` that `spelled_out` has made."""
    return (each for each in ast.walk(node) if isinstance(each, ast.Name) and each.id.startswith(_GLOBAL))


def plain_name(name: str) -> str:
    """A name as it stands in its namespace."""
    return name.removeprefix(_GLOBAL)


def module_imported(node: ast.Call) -> str | None:
    """`tools` for `import_module("tools")` and the like."""
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    return _text(node.args[:1]) if name in ("import_module", "__import__") else None


class _Speller(ast.NodeTransformer):
    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        self.generic_visit(node)
        name = _text([node.slice])
        return _global(name, node.ctx) if name is not None and _is_globals(node.value) else node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        function = node.func
        if isinstance(function, ast.Name) and function.id == "getattr":
            name = _text(node.args[1:2])
            if name is not None:
                return ast.Attribute(node.args[0], name, ast.Load())
        if isinstance(function, ast.Attribute) and function.attr == "get" and _is_globals(function.value):
            name = _text(node.args[:1])
            if name is not None:
                return _global(name, ast.Load())
        return node


def _global(name: str, context: ast.expr_context) -> ast.Name:
    return ast.Name(_GLOBAL + name, context)


def _is_globals(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "globals"


def _text(nodes: list[ast.expr]) -> str | None:
    """The name that the first of some expressions is, if it is one."""
    if nodes and isinstance(nodes[0], ast.Constant) and isinstance(nodes[0].value, str):
        return nodes[0].value
    return None
