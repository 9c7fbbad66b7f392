"""Words that the views share: clipping, counting, durations."""

from __future__ import annotations


def clip(text: str, limit: int) -> str:
    """`text` as one line of at most `limit` characters (half as many where UTF-8 needs more), safe to encode."""
    if len(text) <= limit and text.isascii() and text.isprintable():
        return text
    # Lone surrogates, which no front end could decode, count as unprintable.
    text = "".join(c if c.isprintable() else " " for c in text[: limit + 1])
    if len(text.encode()) > 2 * limit:
        limit //= 2
    return text if len(text) <= limit else text[: limit - 1] + "…"


def count(number: int, noun: str) -> str:
    """`1 action`, `2 actions`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def duration(ms: float) -> str:
    """A duration for people, from milliseconds: `3.2 ms`, `340 ms`, `1.24 s`, `2 min 05 s`, `1 h 02 min`."""
    if ms < 10:
        return f"{ms:.1f} ms"
    if ms < 1000:
        return f"{ms:.0f} ms"
    if ms < 60_000:
        return f"{ms / 1000:.2f} s"
    minutes, seconds = divmod(round(ms / 1000), 60)
    if minutes < 60:
        return f"{minutes} min {seconds:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"
