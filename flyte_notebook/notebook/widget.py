"""The widget that the live explorer of a cell's run is shown in: an anywidget, for every front end that shows ipywidgets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import traitlets
from IPython.display import DisplayHandle

from flyte_notebook.notebook.channel import answer_on_any_thread

VIEW_MIME = "application/vnd.jupyter.widget-view+json"

_STATIC = Path(__file__).parent.parent / "static"


class RunView(anywidget.AnyWidget):
    """The browser's side is the TypeScript in `labextension/`."""

    _esm = _STATIC / "widget.js"
    _css = _STATIC / "widget.css"
    header = traitlets.Dict().tag(sync=True)


class WidgetChannel:
    """An explorer's way to the browser, by a widget that is displayed where the running code displays."""

    def __init__(self) -> None:
        self._widget: RunView
        self._handle = DisplayHandle()

    def open(self, header: dict[str, Any], hear: Callable[[Any], None]) -> None:
        """Make the widget and display it."""
        self._widget = RunView(header=header)
        answer_on_any_thread(self._widget.comm)
        self._widget.on_msg(lambda _widget, message, _buffers: hear(message))
        view = {"version_major": 2, "version_minor": 0, "model_id": self._widget.model_id}
        self._handle.display({"text/plain": "", VIEW_MIME: view}, raw=True)

    def send(self, message: dict[str, Any]) -> None:
        """As a custom message."""
        self._widget.send(message)

    def tell(self, header: dict[str, Any]) -> None:
        """By the trait, which a page that is loaded anew reads first."""
        self._widget.header = header

    def end(self, *, stay: bool) -> None:
        """Empty the widget's output: a reopened notebook has no widget to show there."""
        self._handle.update({"text/plain": ""}, raw=True)
        self.send({"type": "closed"})
        if not stay:
            self._widget.layout.close()
            self._widget.close()
