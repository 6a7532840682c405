"""What `serve` and `mcp` share: the models of a server."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import msgspec

from llmtool.cli import bootstrap
from llmtool.cli.options import groups as g
from llmtool.cli.terminal.console import Console
from llmtool.config import Folders, Settings
from llmtool.toolbox import Toolbox


def open_boxes(
    console: Console,
    folders: Folders,
    settings: Settings,
    references: Iterable[str],
    options: g.ModelOptions,
    **resources: Any,
) -> dict[str, Toolbox]:
    """Return toolboxes of models by name, downloaded if needed; the first one is being loaded.

    `resources` are options of `Toolbox`. Without a reference, the model of the settings is used.
    """
    boxes = {}
    chosen: list[str | None] = [*references] or [None]
    for reference in chosen:
        each = msgspec.structs.replace(options, reference=reference)
        model = bootstrap.open_model(console, folders, settings, each, warm_up=False)
        boxes[model.name] = Toolbox(
            model.reference,
            concurrent=True,
            settings=settings,
            folders=folders,
            on_note=console.note,
            **resources,
        )
    next(iter(boxes.values())).warm_up()
    return boxes


class Notes(logging.Handler):
    """Prints what a server logs, such as the reason of an internal error."""

    def __init__(self, console: Console) -> None:
        super().__init__(logging.WARNING)
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        reason = "" if error is None else f" ({type(error).__name__}: {error})"
        self._console.note(record.getMessage() + reason)
