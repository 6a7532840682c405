"""List and stop the running servers of this user."""

from __future__ import annotations

import os
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from llmtool.engine.socket import private
from llmtool.engine.socket.protocol import (
    AskStatus,
    Channel,
    ProtocolError,
    ServerMessage,
    Status,
    Stop,
)

_REPLY_SECONDS = 5.0
_POLL_SECONDS = 0.02


def read_status(path: Path) -> Status:
    """Return the status of the server at a socket.

    Raises:
        OSError, EOFError, ProtocolError: no server of this user replies.
    """
    with closing(Channel(private.connect(path), ServerMessage)) as channel:
        channel.send(AskStatus())
        reply = channel.receive(timeout=_REPLY_SECONDS)
        if not isinstance(reply, Status):
            raise ProtocolError("no status")
        return reply


def list_servers(folder: Path) -> list[tuple[Path, Status]]:
    """Return the sockets and the states of the servers that reply, the newest first."""
    found = []
    for path in private.list_sockets(folder) if private.IS_AVAILABLE else []:
        try:
            found.append((path, read_status(path)))
        except (OSError, EOFError, ProtocolError):
            continue
    return found


def to_dict(path: Path, status: Status) -> dict[str, Any]:
    """Return what `llmtool ps --json` prints about a server."""
    return {
        "pid": status.pid,
        "models": list(status.models),
        "address": status.address,
        "socket": str(path),
        "memory_bytes": status.memory_bytes,
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(status.started_at)),
        "idle_seconds": round(status.idle_seconds, 1),
        "idle_limit_seconds": status.idle_limit_seconds,
    }


def stop_server(path: Path, pid: int, *, timeout: float) -> bool:
    """End a server after its running requests; return whether it ended within `timeout` seconds."""
    end = time.monotonic() + timeout
    try:
        with closing(Channel(private.connect(path), ServerMessage)) as channel:
            channel.send(Stop())
            channel.receive(timeout=timeout)
    except EOFError:
        pass
    except TimeoutError:
        return False
    except (OSError, ProtocolError):  # it ended meanwhile
        pass
    while _is_running(pid):
        if time.monotonic() > end:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    """Return whether a process has ended, but its parent has not read its status (Linux)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (OSError, IndexError):
        return False
