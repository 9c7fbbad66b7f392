"""Which `with` and `finally` blocks an instruction is in: what is raised there runs their ends."""

from __future__ import annotations

import dis
from functools import lru_cache
from types import CodeType


def around(code: CodeType, instruction: int) -> list[int]:
    """One number for each block, the innermost first; one with `except` clauses alone is none."""
    found: list[int] = []
    target = _handler(code, instruction)
    while target is not None and target not in found:
        found.append(target)
        target = _handler(code, target)
    return [target for target in found if _is_end(code, target)]


def _handler(code: CodeType, instruction: int) -> int | None:
    """Where `code` goes on when that instruction raises."""
    return next((target for start, end, target in _table(code) if start <= instruction < end), None)


@lru_cache(maxsize=16)
def _table(code: CodeType) -> list[tuple[int, int, int]]:
    entries = dis.Bytecode(code).exception_entries  # type: ignore[attr-defined]  # not documented, and in every Python
    return [(entry.start, entry.end, entry.target) for entry in entries]


@lru_cache(maxsize=64)
def _is_end(code: CodeType, target: int) -> bool:
    """False where what was raised is compared with the type of an `except`, dropped by a bare one, or only put away."""
    names = [each.opname for each in dis.get_instructions(code) if each.offset >= target and each.opname != "CACHE"]
    if names[0] != "PUSH_EXC_INFO" or names[1] == "POP_TOP":
        return False
    ends = (at for at, name in enumerate(names[1:]) if name in ("RERAISE", "PUSH_EXC_INFO", "WITH_EXCEPT_START"))
    return not {"CHECK_EXC_MATCH", "CHECK_EG_MATCH"}.intersection(names[1 : 1 + next(ends, len(names))])
