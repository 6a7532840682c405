"""Options of `batch submit`, `status` and `fetch`."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from llmtool.cli.options import groups as g


class ServerOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The server of batch files; by default that of `batch create` or `submit`."""

    endpoint: Annotated[
        str | None,
        typer.Option("--endpoint", metavar="NAME", help="An endpoint of the settings, or openai."),
    ] = None
    base_url: Annotated[
        str | None, typer.Option("--base-url", metavar="URL", help="URL of the server.")
    ] = None
    offline: g.Offline = False
    timeout: g.Timeout = None
