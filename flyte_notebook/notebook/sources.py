"""The `%%flyte` cells that this kernel has run: their newest text, and the names it has bound."""

from __future__ import annotations

import ast
import builtins
import dis
import warnings
from dataclasses import dataclass, field
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Any

from flyte_notebook.api.environment import TaskEnvironment
from flyte_notebook.api.resume import globals_of
from flyte_notebook.notebook.rewrite import cell_lines

if TYPE_CHECKING:
    from collections.abc import Mapping

    from IPython.core.interactiveshell import InteractiveShell

    from flyte_notebook.engine.settings import Origin

_UNTOUCHED = object()
_STORES = ("STORE_NAME", "STORE_GLOBAL")


@dataclass
class Ran:
    """One cell as it was run last."""

    source: str
    bound: dict[str, int] = field(default_factory=dict)
    """Names it bound, and which object each meant when it ended: by id, because keeping them would keep their memory."""


_ran: dict[str, Ran] = {}
"""By cell, see `_key`."""


def _key(cell_id: str | None, source: str) -> str:
    """What tells a cell from all others: its id, else its text; of cells without ids, an edited one is another one."""
    return cell_id if cell_id is not None else f"text {body(source)}"


def body(source: str) -> str:
    """The lines of a `%%flyte` cell below the one with its options."""
    return source.lstrip().partition("\n")[2]


def remember(shell: InteractiveShell, where: Origin) -> None:
    """Note a cell that has just run."""
    source = where.source or ""
    names = bound_names(shell, source)
    bound = {name: id(shell.user_ns[name]) for name in names if name in shell.user_ns}
    _ran[_key(where.cell_id, source)] = Ran(source, bound)


def newest(cell_id: str | None, source: str) -> Ran | None:
    """The cell that `source` is a version of, as this kernel has run it last."""
    return _ran.get(_key(cell_id, source))


def rebound(shell: InteractiveShell, source: str, ran: Ran | None) -> list[str]:
    """Names that running `source` would bind anew although they mean something else by now."""
    known: Mapping[str, int] = ran.bound if ran is not None else {}
    names = []
    for name in sorted(bound_names(shell, source)):
        value: Any = shell.user_ns.get(name, _UNTOUCHED)
        # Modules and environments are what they were: importing or declaring them again changes nothing.
        if value is _UNTOUCHED or isinstance(value, ModuleType | TaskEnvironment) or name.startswith("_"):
            continue
        if known.get(name) != id(value):
            names.append(name)
    return names


def bound_names(shell: InteractiveShell, source: str) -> set[str]:
    """The names that a cell binds at its top; none when it is not Python."""
    code = _compiled(shell, source)
    found: set[str] = set()
    if code is not None:
        found.update(i.argval for i in dis.get_instructions(code) if i.opname in _STORES)
    return found


def missed_names(shell: InteractiveShell, source: str) -> set[str]:
    """The names that a cell speaks of and that neither it nor this kernel binds."""
    code = _compiled(shell, source)
    if code is None:
        return set()
    return set(globals_of(code)).difference(bound_names(shell, source), shell.user_ns, vars(builtins))


def _compiled(shell: InteractiveShell, source: str) -> CodeType | None:
    tree = parsed(shell, source)
    if tree is None:
        return None
    with warnings.catch_warnings():
        # The compiler's warnings were shown when the cell ran.
        warnings.simplefilter("ignore")
        code: CodeType = compile(tree, "<cell>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        return code


def task_names(shell: InteractiveShell, source: str) -> set[str]:
    """The functions that a cell makes tasks of, as `def main`, and the names of what it calls at its top."""
    tree = parsed(shell, source)
    names: set[str] = set()
    for node in ast.walk(tree) if tree is not None else ():
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if any("task" in ast.unparse(decorator) for decorator in node.decorator_list):
                names.add(f"def {node.name}")
        elif isinstance(node, ast.Await) and isinstance(node.value, ast.Call):
            names.add(ast.unparse(node.value.func))
    return names


def parsed(shell: InteractiveShell, source: str) -> ast.Module | None:
    """The body of a `%%flyte` cell, or None when it is not Python."""
    _, *rest = cell_lines(source.splitlines(keepends=True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(shell.transform_cell("".join(rest)) if rest else "")
        except (SyntaxError, ValueError):
            return None
