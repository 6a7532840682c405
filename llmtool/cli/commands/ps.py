"""`llmtool ps`: list running servers."""

from __future__ import annotations

import time

from llmtool.cli.framework.app_factory import App
from llmtool.cli.options import groups as g
from llmtool.cli.terminal.console import Console
from llmtool.errors import UsageError
from llmtool.sizes import format_age, format_bytes

app = App()


@app.add("ps", epilog="Example: llmtool ps --json | jq -r '.[].address'")
def ps(
    console: Console,
    *,
    json: g.Json = False,
    general: g.GeneralOptions,
) -> None:
    """List your running servers."""
    from llmtool.cli import bootstrap
    from llmtool.cli.render import tables
    from llmtool.engine.socket import private
    from llmtool.engine.socket.servers import list_servers, to_dict

    folders, _ = bootstrap.start(console, general)
    if not private.IS_AVAILABLE:
        raise UsageError(f"ps: {private.UNAVAILABLE}")
    found = list_servers(folders.sockets)
    if json:
        console.stdout.write_json([to_dict(path, status) for path, status in found])
        return
    now = time.time()
    tables.table(
        console,
        ["pid", "model", "address", "memory", "started", "used"],
        [
            (
                str(each.pid),
                ", ".join(each.models),
                each.address or "-",
                "-" if each.memory_bytes is None else format_bytes(each.memory_bytes),
                format_age(now - each.started_at),
                "now" if not each.idle_seconds else format_age(each.idle_seconds),
            )
            for _, each in found
        ],
        right=["pid", "memory"],
    )
    if not found:
        console.note("no server is running; start one with `llmtool serve --detach`")
