"""What `serve` and `mcp` share: the models of a server."""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from llmtool.background import BackgroundCall
from llmtool.cli import bootstrap
from llmtool.cli.options import groups as g
from llmtool.cli.options.flags import format_flag
from llmtool.cli.terminal.console import Console
from llmtool.config import Folders, Settings
from llmtool.errors import Cancelled, ClosedError, LlmtoolError, UsageError
from llmtool.local_model import LocalModel
from llmtool.machine import limit_heaps
from llmtool.model_choice import require_local
from llmtool.toolbox import Toolbox

if TYPE_CHECKING:
    from llmtool.server.activity import Activity
    from llmtool.server.socket import SocketServer

# Between searches for garbage. A command ends before the first one; a server's garbage is large.
_MAX_NEW_OBJECTS = 5_000


def open_boxes(
    console: Console, folders: Folders, settings: Settings, served: g.ServedModelOptions
) -> dict[str, Toolbox]:
    """Return toolboxes of models by name, downloaded if needed; the first one is being loaded."""
    limit_heaps()
    gc.freeze()
    gc.set_threshold(_MAX_NEW_OBJECTS)
    boxes = {}
    for model in _find_models(console, folders, settings, served):
        boxes[model.name] = Toolbox(
            model.reference,
            concurrent=True,
            settings=settings,
            folders=folders,
            on_note=console.note,
            **bootstrap.model_arguments(served.resources),
        )
    next(iter(boxes.values())).warm_up()
    return boxes


def start_in_background(
    console: Console,
    folders: Folders,
    settings: Settings,
    served: g.ServedModelOptions,
    args: Sequence[str],
) -> None:
    """Download the models if needed, start `llmtool serve` with `args`, and print its address."""
    from llmtool.cli import detach

    found = [model.reference for model in _find_models(console, folders, settings, served)]
    models = [part for name in found for part in ("--model", name)]
    offline = ["--offline"] * served.offline
    options = [*models, *_to_arguments(served.resources), *offline]
    status, log = detach.start(folders, ["serve", *options, *args], os.environ)
    console.stdout.write(f"{status.address or folders.sockets / f'{status.pid}.sock'}\n")
    console.note(
        f"serving {', '.join(status.models)} (process {status.pid}, log {log}); "
        "`llmtool stop` ends it"
    )


def _to_arguments(options: g.ResourceOptions) -> list[str]:
    """Return the arguments that mean these options."""
    arguments: list[str] = []
    for name, value in bootstrap.changed_options(options).items():
        flag = format_flag(name)
        if value is True:
            arguments.append(flag)
        else:
            for each in value if isinstance(value, list) else [value]:
                arguments += [flag, str(each)]
    return arguments


def _find_models(
    console: Console, folders: Folders, settings: Settings, served: g.ServedModelOptions
) -> Iterator[LocalModel]:
    """Yield the models, downloaded if needed."""
    for options in served.for_each():
        opened = bootstrap.open_model(console, folders, settings, options, warm_up=False)
        yield require_local(opened, "`llmtool serve`")


class PrivateSocket:
    """The socket through which commands of this user use the models, once the first is loaded."""

    def __init__(
        self,
        console: Console,
        folders: Folders,
        boxes: Mapping[str, Toolbox],
        activity: Activity,
    ) -> None:
        self._console, self._folders = console, folders
        self._boxes, self._activity = boxes, activity
        self._opening: BackgroundCall[SocketServer | None] | None = None

    def open(
        self, stop: Callable[[], None], *, address: str | None, idle_minutes: float | None = None
    ) -> None:
        """Open it in the background; `stop` ends the server.

        It must not fail for a server in the background, or without an address.
        """
        from llmtool.engine.socket import private
        from llmtool.server.socket import Served, SocketServer

        if not private.IS_AVAILABLE:
            return

        def open_socket() -> SocketServer | None:
            try:
                _ = next(iter(self._boxes.values())).engine  # the error of a wrong option
                models = {}
                for name, box in self._boxes.items():
                    model = box.context.model
                    assert isinstance(model, LocalModel)
                    models[name] = Served(box, model.engine_identity)
                return SocketServer(
                    self._folders.sockets,
                    models,
                    activity=self._activity,
                    address=address,
                    idle_limit_seconds=None if idle_minutes is None else idle_minutes * 60,
                    stop=stop,
                )
            except (Cancelled, ClosedError):
                return None
            except (LlmtoolError, OSError) as exc:
                if address is None or self._is_detached:
                    stop()
                    raise
                if isinstance(exc, UsageError):
                    self._console.note(f"commands do not use this server: {exc}")
                return None

        self._opening = BackgroundCall(open_socket)

    @property
    def _is_detached(self) -> bool:
        from llmtool.cli.detach import VARIABLE

        return VARIABLE in os.environ

    def drain(self, seconds: float) -> None:
        """Accept no more requests, and let the running ones end within `seconds`."""
        if self._opening is not None and self._opening.value is not None:
            self._opening.value.close(grace_seconds=seconds)

    def close(self) -> None:
        """Stop the requests that still run, after the models were closed.

        Raises:
            LlmtoolError: a server in the background could not open it.
        """
        if self._opening is not None:
            opened = self._opening.result()
            if opened is not None:
                opened.close()


class Notes(logging.Handler):
    """Prints what a server logs, such as the reason of an internal error."""

    def __init__(self, console: Console) -> None:
        super().__init__(logging.WARNING)
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        self._console.note(record.getMessage())
