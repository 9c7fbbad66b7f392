"""The identity of a function: of its code, its defaults, what it captured, and of all that these refer to.

Equal in every kernel that ran the same cells. Comments, formatting, docstrings and the options of a task's decorator do
not count; editing a helper, a default, a captured value or a class does. Modules of installed packages count by name.
A value that the code itself changes (a list it appends to) is state, and counts by what it held when it was first seen. Of
an object, the attributes that its methods change are state, which do not count, as names that code binds anew; the others do.
"""

from __future__ import annotations

from typing import Any

from flyte_notebook.record.digest import combined


class Fingerprint:
    """The fingerprint of `fn`, as text; and whether it still is the same."""

    __slots__ = ("_basis", "parts", "text")

    def __init__(self, fn: Any) -> None:
        from flyte_notebook.record.dependencies import Survey

        survey = Survey()
        self.parts = survey.of(fn)
        """What it is made of; see `fingerprint_parts`."""
        self.text = fingerprint_of(self.parts)
        self._basis = survey.basis

    def holds(self) -> bool:
        """False once a name that the code reads is bound anew, or a small setting among the values was changed.

        A change inside large values and objects of classes is not seen: a new fingerprint sees it.
        """
        return self._basis.holds()


def fingerprint(fn: Any) -> str:
    """32 hex digits for a function, task, method, partial, class or callable object. Never raises for odd code.

    Warns once about each captured value of over 1 MB, which counts by name, type and shape only.
    """
    return fingerprint_of(fingerprint_parts(fn))


def fingerprint_of(parts: dict[str, str]) -> str:
    """The fingerprint that these parts make."""
    return combined("fingerprint", *(f"{label}\0{found}".encode() for label, found in sorted(parts.items()))).hex()


def fingerprint_parts(fn: Any) -> dict[str, str]:
    """What the fingerprint is made of: `own code`, `helper clean()`, `captured THRESHOLD`, … each with its digest."""
    from flyte_notebook.record.dependencies import Survey

    return Survey().of(fn)


def explain(old: dict[str, str], new: dict[str, str]) -> list[str]:
    """What differs between the parts of two fingerprints, in words: `helper clean() changed`, `captured X added`."""
    changes = [f"{label} {'changed' if label in new else 'removed'}" for label in old if old[label] != new.get(label)]
    return changes + [f"{label} added" for label in new if label not in old]
