"""`from __future__ import …` at the top of a cell's body: Python wants it before the line that opens the cell."""

from __future__ import annotations

import ast
import tokenize
from collections.abc import Iterator
from tokenize import TokenInfo

_BLANK = (tokenize.COMMENT, tokenize.NL, tokenize.INDENT, tokenize.ENCODING)


def hoist(body: list[str]) -> tuple[str, list[str]]:
    """The future imports at the top of `body` as one statement, or nothing, and `body` with `pass` in their places.

    As in a module, a docstring may stand before them. Every line stays where it is.
    """
    if not any("__future__" in line for line in body):
        return "", body
    names: list[str] = []
    lines = list(body)
    for number, statement in enumerate(_statements(body)):
        words = [token.string for token in statement]
        if words[:3] == ["from", "__future__", "import"] and _is_python(" ".join(words)):
            names.append(" ".join(word for word in words[3:] if word not in "()").removesuffix(" ,"))
            _pass(lines, statement[0].start, statement[-1].end)
        elif number or any(token.type != tokenize.STRING for token in statement):
            break
    return (f"from __future__ import {', '.join(names)}; " if names else ""), lines


def _statements(lines: list[str]) -> Iterator[list[TokenInfo]]:
    """The simple statements from the top on, as far as the text is Python's: magics are not."""
    statement: list[TokenInfo] = []
    source = iter(lines)
    try:
        for token in tokenize.generate_tokens(lambda: next(source, "")):
            if token.type in (tokenize.NEWLINE, tokenize.ENDMARKER) or token.string == ";":
                if statement:
                    yield statement
                statement = []
            elif token.type not in _BLANK:
                statement.append(token)
    except (tokenize.TokenError, SyntaxError):
        # IPython says what is wrong with the cell, with the line that is meant.
        return


def _is_python(statement: str) -> bool:
    try:
        ast.parse(statement)
    except SyntaxError:
        return False
    return True


def _pass(lines: list[str], start: tuple[int, int], end: tuple[int, int]) -> None:
    """Overwrite a statement, of which other statements may share the lines."""
    (first, left), (last, right) = start, end
    rest = lines[last - 1][right:]
    lines[first - 1] = lines[first - 1][:left] + "pass"
    if first == last:
        # What follows on the line stays in its columns.
        lines[first - 1] += " " * (right - left - 4) + rest
        return
    lines[first - 1 : last - 1] = [lines[first - 1] + "\n", *["\n"] * (last - first - 1)]
    lines[last - 1] = rest.lstrip("; \t")
