"""Unix sockets that only their user can open.

The folder has mode 0700 and the socket 0600, and both ends compare the user of the other process
with their own, so a socket that another user placed there is never used.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from llmtool import files
from llmtool.errors import UsageError, os_error_reason

IS_AVAILABLE = hasattr(socket, "AF_UNIX") and hasattr(os, "geteuid")
UNAVAILABLE = "not available on this system, which has no private sockets"
_BACKLOG = 128
_CONNECT_SECONDS = 5.0  # a server whose queue of connections is full
_MAX_PATH_BYTES = 100  # 104 with the final 0 on macOS, 108 on Linux
_LOCAL_PEERCRED = 1  # of macOS and the BSDs, at level 0
_XUCRED = struct.Struct("=II")  # version, user


def list_sockets(folder: Path) -> list[Path]:
    """Return the sockets of the user's servers, newest first; [] if the folder is not private."""
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    paths = [folder / name for name in names if name.endswith(".sock")]
    if not paths or not _is_private(folder, stat.S_ISDIR):
        return []
    found = []
    for path in paths:
        with contextlib.suppress(OSError):  # removed meanwhile
            found.append((os.lstat(path).st_mtime_ns, path))
    return [path for _, path in sorted(found, reverse=True)]


def connect(path: Path) -> socket.socket:
    """Return a connection to a server of this user.

    Raises:
        PermissionError: the socket, its folder or the server belong to another user, or others have
            access to them.
        OSError: no server listens there.
    """
    os.lstat(path)
    if not _is_private(path.parent, stat.S_ISDIR):
        raise PermissionError(f"{path.parent} is not a folder that only you can open (mode 0700)")
    if not _is_private(path, stat.S_ISSOCK):
        raise PermissionError(f"{path} is not a socket that only you can open (mode 0600)")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(_CONNECT_SECONDS)
        with _short(path) as name:
            sock.connect(name)
        if not is_own_peer(sock):
            raise PermissionError(f"{path} is the socket of another user's process")
        return sock
    except BaseException:
        sock.close()
        raise


def listen(folder: Path, name: str) -> socket.socket:
    """Return a private socket that listens at `folder/name`, and remove those of ended servers.

    Raises:
        UsageError: the folder is not private, or cannot be created.
    """
    try:
        files.make_folder(folder)
        if not _is_private(folder, stat.S_ISDIR):
            raise UsageError(
                f"{folder} is not a folder that only you can open; remove it, or run "
                f"chmod 700 {folder}"
            )
        for path in list_sockets(folder):
            _remove_if_dead(path)
        path = folder / name
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with _short(path) as short:
                sock.bind(short)
            path.chmod(0o600)
            sock.listen(_BACKLOG)
        except BaseException:
            sock.close()
            raise
    except OSError as exc:
        raise UsageError(f"cannot listen in {folder}: {os_error_reason(exc)}") from exc
    return sock


def is_own_peer(sock: socket.socket) -> bool:
    """Return whether the process at the other end of a connection runs as this user."""
    if hasattr(socket, "SO_PEERCRED"):
        data = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        user = struct.unpack("3i", data)[1]
    else:
        user = _XUCRED.unpack(sock.getsockopt(0, _LOCAL_PEERCRED, 76)[: _XUCRED.size])[1]
    return bool(user == os.geteuid())


def _remove_if_dead(path: Path) -> None:
    try:
        connect(path).close()
    except ConnectionRefusedError:  # its server was killed
        with contextlib.suppress(OSError):
            path.unlink()
    except OSError:
        pass


def _is_private(path: Path, is_kind: Callable[[int], bool]) -> bool:
    try:
        state = os.lstat(path)
    except OSError:
        return False
    own = state.st_uid == os.geteuid() and not state.st_mode & 0o077
    return own and is_kind(state.st_mode)


@contextlib.contextmanager
def _short(path: Path) -> Iterator[str]:
    """Yield a name of a path that fits into the address of a socket.

    Raises:
        OSError: it is too long, and the system has no other name for it.
    """
    name = os.fspath(path)
    if len(os.fsencode(name)) <= _MAX_PATH_BYTES:
        yield name
    elif sys.platform != "linux":
        raise OSError(f"the path of the socket is too long: {name}")
    else:
        descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield f"/proc/self/fd/{descriptor}/{path.name}"
        finally:
            os.close(descriptor)
