"""`llmtool stop`: end running servers."""

from __future__ import annotations

from typing import Annotated

import typer

from llmtool.cli.framework.app_factory import App
from llmtool.cli.options import groups as g
from llmtool.cli.terminal.console import Console
from llmtool.errors import LlmtoolError, UsageError

app = App()
_SECONDS = 40.0  # more than a server lets its requests run


@app.add("stop", epilog="Example: llmtool stop --all")
def stop(
    console: Console,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Model or process id of the server.")
    ] = None,
    *,
    all: Annotated[bool, typer.Option("--all", help="Stop all your servers.")] = False,
    general: g.GeneralOptions,
) -> None:
    """Stop a running server after its requests have ended.

    Without a name, there must be only one server.
    """
    from llmtool.cli import bootstrap
    from llmtool.engine.socket import private
    from llmtool.engine.socket.servers import list_servers, stop_server
    from llmtool.suggest import suggest

    if name is not None and all:
        raise UsageError("NAME and --all cannot be combined; use one of them")
    folders, _ = bootstrap.start(console, general)
    if not private.IS_AVAILABLE:
        raise UsageError(f"stop: {private.UNAVAILABLE}")
    servers = list_servers(folders.sockets)
    if not servers and name is None:
        console.note("no server is running")
        return
    chosen = servers
    if name is not None:
        chosen = [each for each in servers if name in (str(each[1].pid), *each[1].models)]
        if not chosen:
            known = [model for _, each in servers for model in each.models]
            hint = suggest(name, known) or "; `llmtool ps` lists them"
            raise UsageError(f"no server of {name!r} is running{hint}")
    elif len(servers) > 1 and not all:
        names = ", ".join(f"{each.pid} ({', '.join(each.models)})" for _, each in servers)
        raise UsageError(f"several servers are running: {names}; name one, or use --all")
    for path, status in chosen:
        if not stop_server(path, status.pid, timeout=_SECONDS):
            raise LlmtoolError(
                f"the server {status.pid} did not end within {_SECONDS:.0f} s; "
                f"end it with kill -9 {status.pid}"
            )
        console.note(f"stopped {status.pid} ({', '.join(status.models)})")
