"""Reports: HTML that a task writes about itself, shown with its action.

A report belongs to one attempt of one action and has tabs; `main` is the one that `log` and `replace` write to. It is
put on record by `flush`, and once more at the end of the action when something was written since. What is written is
the task's own HTML: it is shown in a sandbox, without scripts.
"""

from __future__ import annotations

import html
import threading
from dataclasses import dataclass, field

from flyte_notebook.api.dual import Dual
from flyte_notebook.engine.context import Call, current_action

__all__ = ["Report", "Tab", "append", "current_report", "flush", "get_tab", "log", "replace"]

_MAIN = "main"
_PAGE = """<!doctype html>
<html><head><meta charset="utf-8"><title>{title}</title><style>
body {{ font-family: system-ui, sans-serif; margin: 0.5rem; color-scheme: light dark; }}
nav {{ display: flow-root; }}
nav > input {{ position: absolute; opacity: 0; }}
nav > label {{ float: left; padding: 0.25rem 0.75rem; cursor: pointer; border-bottom: 2px solid #8884; }}
nav > section {{ display: none; float: right; width: 100%; padding-top: 0.75rem; }}
nav > input:checked + label {{ border-bottom-color: currentColor; font-weight: 600; }}
nav > input:focus-visible + label {{ outline: 2px solid Highlight; }}
nav > input:checked + label + section {{ display: block; }}
</style></head><body>
{body}
</body></html>
"""


@dataclass
class Tab:
    """One page of a report."""

    name: str
    content: list[str] = field(default_factory=list, init=False)
    _report: Report | None = field(default=None, repr=False, compare=False)

    def log(self, content: str) -> None:
        """Add HTML, a fragment and not a document, below what is there."""
        self.content.append(content)
        self._changed()

    append = log

    def replace(self, content: str) -> None:
        """Put HTML in place of what is there."""
        self.content = [content]
        self._changed()

    def get_html(self) -> str:
        """All that was written, one piece a line."""
        return "\n".join(self.content)

    def _changed(self) -> None:
        if self._report is not None:
            self._report.flushed = False


@dataclass
class Report:
    """The report of one attempt."""

    name: str
    tabs: dict[str, Tab] = field(default_factory=dict)
    attempt: int = 0
    flushed: bool = True
    """False when something was written since the report was put on record."""

    def __post_init__(self) -> None:
        self.get_tab(_MAIN)

    def get_tab(self, name: str, create_if_missing: bool = True) -> Tab:
        """The tab of that name; made when there is none.

        Raises:
            ValueError: there is none, and none is to be made.
        """
        if name not in self.tabs:
            if not create_if_missing:
                raise ValueError(f"Tab {name} does not exist.")
            self.tabs[name] = Tab(name, self)
        return self.tabs[name]

    def has_content(self) -> bool:
        """True when something was written."""
        return any(tab.content for tab in self.tabs.values())

    def get_final_report(self) -> str:
        """The report as an HTML document that needs no scripts."""
        shown = [tab for tab in self.tabs.values() if tab.content or tab.name != _MAIN]
        if [tab.name for tab in shown] == [_MAIN]:
            body = shown[0].get_html()
        else:
            body = "<nav>" + "".join(_page(number, tab) for number, tab in enumerate(shown)) + "</nav>"
        return _PAGE.format(title=html.escape(self.name), body=body)

    def publish(self, call: Call) -> None:
        """Put the report on record as that of `call`."""
        self.flushed = True
        call.note("report", self.get_final_report())

    def conclude(self, call: Call) -> None:
        """The attempt is over: publish what was not yet."""
        if not self.flushed:
            self.publish(call)


def _page(number: int, tab: Tab) -> str:
    checked = "" if number else " checked"
    return (
        f'<input type="radio" name="tab" id="tab{number}"{checked}><label for="tab{number}">{html.escape(tab.name)}'
        f"</label><section>{tab.get_html()}</section>"
    )


_making = threading.Lock()


def current_report() -> Report:
    """The report of the attempt that this code is part of; outside a task, one that goes nowhere."""
    call = _reporting()
    return Report("dummy") if call is None else _of(call)


def _of(call: Call) -> Report:
    with _making:
        report = call.report
        if not isinstance(report, Report) or report.attempt != call.attempt:
            report = call.report = Report(call.short_name, attempt=call.attempt)
    return report


def _reporting() -> Call | None:
    """The action that reports here; a traced function reports for the task that calls it."""
    call = current_action()
    while call is not None and call.kind == "trace":
        call = call.parent if isinstance(call.parent, Call) else None
    return call


def get_tab(name: str, /, create_if_missing: bool = True) -> Tab:
    """The tab of that name in the current report; made when there is none.

    Raises:
        ValueError: there is none, and none is to be made.
    """
    return current_report().get_tab(name, create_if_missing)


def _log(content: str, do_flush: bool = False) -> None:
    """Add HTML, a fragment and not a document, to the main tab."""
    get_tab(_MAIN).log(content)
    if do_flush:
        _flush()


def _replace(content: str, do_flush: bool = False) -> None:
    """Put HTML in place of what is in the main tab."""
    get_tab(_MAIN).replace(content)
    if do_flush:
        _flush()


def _flush() -> None:
    """Put the current report on record, and so in the view; outside a task there is nothing to do."""
    call = _reporting()
    if call is not None:
        _of(call).publish(call)


log = append = Dual(_log)
replace = Dual(_replace)
flush = Dual(_flush)
