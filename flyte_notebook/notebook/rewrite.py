"""A `%%flyte` cell as Python: the text that IPython parses, and the tree that it runs.

The first line becomes a marker, and every other line stays where it is, so that line numbers, tracebacks, breakpoints
and `In[n]` are those of the cell. The parsed cell is then wrapped:

    async with CELL(line, source):      # opens the cell: the first task call in it creates the run
        ...
        await LAST(expression)          # the last expression: awaited if it is a task's coroutine, kept as outputs
    RESULT()                            # displayed by IPython once the run is on record
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Sequence

from IPython.core.inputtransformer2 import leading_indent

from flyte_notebook.api.alias import unimportable
from flyte_notebook.notebook.futures import hoist

MARKER = "__flyte_cell__"
HOOKS = "flyte_notebook.notebook.cell"
"""The module whose `open_here`, `last` and `result` the wrapped cell calls."""

_FIRST_LINE = re.compile(r"[ \t]*%%flyte(?![\w?])")
_ALIAS = "flyte"
_PACKAGE = "flyte_notebook"


class CellText:
    """The text transformer: turns the lines of a `%%flyte` cell into Python, and leaves all others alone.

    `enabled` is asked only for `%%flyte` cells; where it says no, IPython calls the cell magic instead.
    """

    has_side_effects = True
    """Keeps it out of IPython's completeness check, where a cell magic ends with a blank line."""

    def __init__(self, enabled: Callable[[], bool]) -> None:
        self._enabled = enabled

    def __call__(self, lines: list[str]) -> list[str]:
        """See IPython's `input_transformers_cleanup`. It runs for every cell, so it must be quick and never raise."""
        first = next((number for number, line in enumerate(lines) if not line.isspace()), None)
        if first is None or _FIRST_LINE.match(lines[first]) is None or not self._enabled():
            return lines
        return cell_lines(lines, first)


def cell_lines(lines: list[str], first: int = 0) -> list[str]:
    """The Python lines of a cell whose `%%flyte` stands in line `first` (from 0); as many as there were."""
    source = "".join(lines).removesuffix("\n")
    head, *body = leading_indent(lines[first:])
    options = head.partition("%%flyte")[2].strip()
    futures, body = hoist(body)
    # IPython drops empty lines at the top, which would move every line of the cell.
    blank = ["#\n"] * first
    return [*blank, f"{futures}await {MARKER}({options!r}, {source!r})\n", *body]


class CellTree(ast.NodeTransformer):
    """The AST transformer: wraps a parsed cell that starts with the marker, and leaves all others alone."""

    def __init__(self, interactivity: Callable[[], str]) -> None:
        self._interactivity = interactivity

    def visit(self, node: ast.AST) -> ast.AST:
        """See IPython's `ast_transformers`."""
        if not isinstance(node, ast.Module):
            return node
        for place, statement in enumerate(node.body[:8]):
            if (call := _marker_call(statement)) is not None:
                body = [Imports().visit(each) for each in node.body[place + 1 :]]
                flat = [each for item in body for each in (item if isinstance(item, list) else [item])]
                if self._interactivity() == "last_expr_or_assign":
                    flat += _assigned(flat)
                wrapped = ast.Module([*node.body[:place], *_wrapped(call, flat)], node.type_ignores)
                return ast.fix_missing_locations(wrapped)
        return node


def _marker_call(statement: ast.stmt) -> ast.Call | None:
    match statement:
        case ast.Expr(ast.Await(ast.Call(ast.Name(id=name)) as call)) if name == MARKER:
            return call
    return None


def _wrapped(call: ast.Call, body: list[ast.stmt]) -> list[ast.stmt]:
    place = ast.Pass(lineno=call.lineno, col_offset=0, end_lineno=call.lineno, end_col_offset=0)
    if body and isinstance(last := body[-1], ast.Expr):
        kept = ast.Await(_hook("last", [last.value]))
        body = [*body[:-1], ast.copy_location(ast.Expr(ast.copy_location(kept, last.value)), last)]
    opened = ast.withitem(context_expr=_hook("open_here", call.args))
    within = ast.copy_location(ast.AsyncWith(items=[opened], body=body or [place]), place)
    return [within, ast.copy_location(ast.Expr(_hook("result", [])), place)]


def _hook(name: str, arguments: list[ast.expr], module: str = HOOKS) -> ast.Call:
    """A call of a function in `module` that needs no name of the user's namespace."""
    function = ast.parse(f"__import__({module!r}, fromlist=('*',)).{name}", mode="eval").body
    for node in ast.walk(function):
        for place in ("lineno", "col_offset", "end_lineno", "end_col_offset"):
            # Left to ast.fix_missing_locations, which gives it the place of what surrounds it.
            if hasattr(node, place):
                delattr(node, place)
    return ast.Call(function, arguments, [])


def _assigned(body: list[ast.stmt]) -> list[ast.stmt]:
    """For IPython's `last_expr_or_assign`: the name assigned last, as an expression."""
    match body[-1] if body else None:
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            return [ast.copy_location(ast.Expr(ast.Name(name, ast.Load())), body[-1])]
        case ast.AugAssign(target=ast.Name(id=name)):
            return [ast.copy_location(ast.Expr(ast.Name(name, ast.Load())), body[-1])]
    return []


class Imports(ast.NodeTransformer):
    """`import flyte` and `from flyte.x import y`, wherever they stand, mean this package."""

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        """`from flyte.io import File`."""
        module = _renamed(node.module) if node.level == 0 and node.module is not None else None
        if module is None:
            return node
        node.module = module
        return _refusal(node, module, [alias.name for alias in node.names]) or node

    def visit_Import(self, node: ast.Import) -> ast.AST | list[ast.stmt]:
        """`import flyte`, `import flyte.io`, `import flyte.io as fio, os`."""
        if not any(_renamed(alias.name) for alias in node.names):
            return node
        return [
            _refusal(node, _renamed(alias.name)) or ast.copy_location(_imported(alias), node) for alias in node.names
        ]


def _refusal(node: ast.stmt, module: str | None, names: Sequence[str] = ()) -> ast.stmt | None:
    """In the place of an import that cannot succeed: a `raise` that says more than Python's import would."""
    text = unimportable(module, names) if module is not None else None
    if text is None:
        return None
    kind = "ImportError" if module == _PACKAGE else "ModuleNotFoundError"
    return ast.copy_location(ast.Raise(_hook(kind, [ast.Constant(text)], "builtins")), node)


def _imported(alias: ast.alias) -> ast.stmt:
    module = _renamed(alias.name)
    if module is None:
        return ast.Import([alias])
    if module == _PACKAGE or alias.asname is not None:
        return ast.Import([ast.alias(module, alias.asname or _ALIAS)])
    # `import flyte.io` imports the submodule and binds `flyte`; an import statement would bind the package's own name.
    package = ast.Call(ast.Name("__import__", ast.Load()), [ast.Constant(module)], [])
    return ast.Assign([ast.Name(_ALIAS, ast.Store())], package)


def _renamed(module: str) -> str | None:
    """`flyte.io` -> `flyte_notebook.io`; None for other modules."""
    head, dot, rest = module.partition(".")
    return f"{_PACKAGE}{dot}{rest}" if head == _ALIAS else None
