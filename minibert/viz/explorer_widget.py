"""The explorer's way between a browser and a kernel, by anywidget."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from minibert.viz.page.bundle import bundle, join_styles

HERE = Path(__file__).parent


class ExplorerWidget(anywidget.AnyWidget):
    """`answer` makes the reply to a request, `document` the page that a browser saves."""

    _esm = bundle(HERE / "explorer.js") + "\nexport default { render: explorer.render };"
    _css = join_styles(HERE / "explorer.css", HERE / "page" / "panel.css")
    live = traitlets.Bool(True).tag(sync=True)
    steps = traitlets.List().tag(sync=True)
    request = traitlets.Dict().tag(sync=True)
    reply = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        steps: list[int],
        request: dict[str, Any],
        reply: dict[str, Any],
        answer: Callable[[dict[str, Any]], dict[str, Any]],
        document: Callable[[], str],
    ) -> None:
        super().__init__(steps=steps, request=request, reply=reply)
        self.answer = answer
        self.document = document
        self.observe(self._on_request, "request")
        self.on_msg(self._on_save)

    def _on_request(self, change: dict[str, Any]) -> None:
        self.reply = self.answer(change["new"])

    def _on_save(self, widget: Any, message: dict[str, Any], buffers: Any) -> None:
        self.send({"document": self.document()})
