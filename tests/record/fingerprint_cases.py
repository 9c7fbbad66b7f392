"""Notebooks as source, and the fingerprints of what they define."""

from __future__ import annotations

import linecache
import textwrap
import types

from flyte_notebook.record.fingerprint import fingerprint

SERIAL = iter(range(10**9))


class Cells:
    """A namespace that source is run in, as a notebook runs its cells: the text is found under the cell's file name."""

    def __init__(self, name: str = "__main__") -> None:
        self.module = types.ModuleType(name)

    def run(self, source: str) -> Cells:
        source = textwrap.dedent(source)
        filename = f"<cell {next(SERIAL)}>"
        linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
        exec(compile(source, filename, "exec", dont_inherit=True), self.module.__dict__)
        return self

    def __getitem__(self, name: str) -> object:
        return self.module.__dict__[name]


def main_of(source: str) -> str:
    """The fingerprint of `main` in a new notebook with this one cell."""
    return fingerprint(Cells().run(source)["main"])
