"""`llmtool serve`: serve functions and models over HTTP."""

from __future__ import annotations

import logging
import os
import re
import stat
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import BadParameter, Option

from llmtool.cli.framework.app_factory import App
from llmtool.cli.options import groups as g
from llmtool.cli.terminal.console import Console
from llmtool.errors import InputError, UsageError, missing_extra, os_error_reason

if TYPE_CHECKING:
    from llmtool.server.functions.catalogue import Function

app = App()
_GRACE_SECONDS = 30.0
_MAX_KEY_CHARACTERS = 1 << 16
_MAX_PORT = 65535
_DEFAULT_PORTS = {"http": "80", "https": "443"}


def _parse_port(value: str) -> int | None:
    if value == "none":
        return None
    if not (value.isascii() and value.isdecimal() and len(value) <= 5 and int(value) <= _MAX_PORT):
        raise BadParameter(f"{value!r}: must be 0 to {_MAX_PORT}, or none")
    return int(value)


@app.add(
    "serve",
    epilog="""Examples:

\b
  llmtool serve
  llmtool serve -m org/name:Q4_K_M --port 9000
  llmtool serve --detach --idle 30
  OPENAI_BASE_URL=http://127.0.0.1:8080/v1 OPENAI_API_KEY=none my-program""",
)
def serve(
    console: Console,
    *,
    host: Annotated[str, Option("--host", metavar="ADDRESS", help="Address to listen on.")] = (
        "127.0.0.1"
    ),
    port: Annotated[
        Any,
        Option(
            "--port",
            parser=_parse_port,
            metavar="N|none",
            help="Port to listen on; 0 chooses one, none serves only your own commands.",
        ),
    ] = "8080",
    api_key_file: Annotated[
        str | None,
        Option("--api-key-file", metavar="FILE", help="File with the accepted keys, one per line."),
    ] = None,
    cors: Annotated[
        list[str],
        Option("--cors", metavar="ORIGIN", help="Site whose pages may call it (repeatable)."),
    ] = [],  # noqa: B006
    functions: Annotated[
        Path | None,
        Option("--functions", metavar="DIR", help="Serve only the templates of this folder."),
    ] = None,
    max_queue: Annotated[
        int, Option("--max-queue", min=0, metavar="N", help="Requests that may wait.")
    ] = 256,
    timeout: Annotated[
        Any,
        Option(
            "--timeout",
            parser=g.parse_timeout,
            metavar="SECONDS",
            help="Time limit of a request, with the time that it waits (or 2m, 1h).",
        ),
    ] = "10m",
    idle: Annotated[
        float | None,
        Option("--idle", min=0.01, metavar="MIN", help="End after MIN minutes without a request."),
    ] = None,
    detach: Annotated[
        bool,
        Option("--detach", help="Run in the background; return when the model is loaded."),
    ] = False,
    model: g.ServedModelOptions,
    general: g.GeneralOptions,
) -> None:
    """Serve models and functions over HTTP, for OpenAI's and other clients."""
    from llmtool.cli import bootstrap

    try:
        from llmtool.server.access import is_loopback
        from llmtool.server.app import make_app
        from llmtool.server.functions.catalogue import list_functions
        from llmtool.server.run import format_address, listen
        from llmtool.server.run import serve as run
        from llmtool.server.service import Service
    except ModuleNotFoundError as exc:
        raise missing_extra("the server", "serve") from exc
    from llmtool.cli.serving import Notes, PrivateSocket, open_boxes, start_in_background
    from llmtool.engine.socket import private

    folders, settings = bootstrap.start(console, general, model.for_each()[0])
    _check_origins(cors)
    if port is None and (api_key_file is not None or cors):
        raise UsageError("--port none listens for commands only; omit --api-key-file and --cors")
    if port is None and not private.IS_AVAILABLE:
        raise UsageError(f"--port none: {private.UNAVAILABLE}")
    keys = [] if api_key_file is None else _read_keys(api_key_file)
    if not keys and not is_loopback(host):
        raise UsageError(
            f"--host {host} can be reached from other machines; add --api-key-file FILE, "
            "or listen on 127.0.0.1"
        )
    if functions is None:
        served = list_functions(bootstrap.open_library(folders))
    else:
        served = _list_own(functions)
    if detach:
        arguments = {
            "--host": host,
            "--port": "none" if port is None else port,
            "--api-key-file": api_key_file,
            "--functions": functions,
            "--max-queue": max_queue,
            "--timeout": timeout,
            "--idle": idle,
        }
        args = [f"{name}={value}" for name, value in arguments.items() if value is not None]
        args += [f"--cors={origin}" for origin in cors]
        start_in_background(console, folders, settings, model, args)
        return
    boxes = open_boxes(console, folders, settings, model)
    logging.getLogger("llmtool.server").addHandler(Notes(console))
    with ExitStack() as stack:
        sockets = [] if port is None else [stack.enter_context(listen(host, port))]
        service = Service(boxes, functions=served, max_queue=max_queue, timeout=timeout)
        addresses = [f"http://{format_address(host, sock.getsockname()[1])}" for sock in sockets]
        place = addresses[0] if addresses else "a private socket"
        console.note(f"serving {', '.join(boxes)} at {place} (Ctrl-C stops)")
        private_socket = PrivateSocket(console, folders, boxes, service.activity)

        def start(stop: Callable[[], None]) -> None:
            if idle is not None:
                service.activity.call_when_idle(idle * 60, stop)
            private_socket.open(stop, address=next(iter(addresses), None), idle_minutes=idle)

        try:
            run(
                make_app(service, host=host, keys=keys, origins=cors),
                sockets,
                grace_seconds=_GRACE_SECONDS,
                on_start=start,
            )
            private_socket.drain(_GRACE_SECONDS)
        finally:
            service.close()
            private_socket.close()


def _list_own(folder: Path) -> dict[str, Function]:
    """Return the functions of the templates in a folder.

    Raises:
        InputError: it is not a folder, or has no template.
    """
    from llmtool.prompts.library import Library
    from llmtool.server.functions.catalogue import list_functions

    try:
        next(folder.iterdir(), None)
    except OSError as exc:
        raise InputError(f"--functions {folder}: {os_error_reason(exc)}; pass a folder") from exc
    found = list_functions(Library([folder]), tasks=False)
    if not found:
        raise InputError(f"--functions {folder}: has no valid template; add a .yaml file")
    return found


def _read_keys(path: str) -> list[str]:
    """Return the keys of a file.

    Raises:
        InputError: it cannot be read.
        UsageError: it has no key, a line is not a key, or other users can read it.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(_MAX_KEY_CHARACTERS + 1)
    except OSError as exc:
        raise InputError(f"--api-key-file {path}: {os_error_reason(exc)}") from exc
    except UnicodeDecodeError:
        raise InputError(f"--api-key-file {path}: not UTF-8; write one key per line") from None
    if os.name == "posix" and stat.S_ISREG(mode) and mode & stat.S_IRWXO:
        raise UsageError(f"--api-key-file {path}: other users can open it; run chmod 600 {path}")
    if len(content) > _MAX_KEY_CHARACTERS:
        raise UsageError(f"--api-key-file {path}: longer than {_MAX_KEY_CHARACTERS:,} characters")
    lines = [line.strip() for line in content.split("\n")]
    for number, line in enumerate(lines, start=1):
        if line.startswith("#") or " " in line or not line.isprintable():
            raise UsageError(
                f"--api-key-file {path}, line {number}: not a key; "
                "write one per line, without spaces or comments"
            )
    keys = [line for line in lines if line]
    if not keys:
        raise UsageError(f"--api-key-file {path}: has no key; write one per line")
    return keys


def _check_origins(origins: Iterable[str]) -> None:
    """Check that each is an origin as browsers send it.

    Raises:
        UsageError: one is not.
    """
    for origin in origins:
        match = re.fullmatch(
            r"(https?)://(\[[0-9a-f:]+\]|[a-z0-9.-]+)(?::([1-9][0-9]{0,4}))?", origin
        )
        if match is None or int(match[3] or 1) > _MAX_PORT:
            raise UsageError(
                f"--cors {origin!r}: must be a site in lower case without a path, such as "
                "https://app.example:8443"
            )
        if match[3] == _DEFAULT_PORTS[match[1]]:
            raise UsageError(f"--cors {origin!r}: browsers omit this port; remove :{match[3]}")
