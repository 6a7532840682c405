"""Import Ray, and connect to a cluster or start one on this machine."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llmtool.errors import ServerError, UsageError, missing_extra, os_error_reason
from llmtool.option_names import option
from llmtool.temporary import lock_descriptor

LOCAL = "local"
_AUTO = "auto"
_CONNECT_SECONDS = 5.0
_STARTS = (
    3  # of a local cluster: Ray waits 30 seconds for its processes, too short on a busy machine
)
_PREFIX = "llmtool-ray-"
_LOCK = "lock"
_STORE_BYTES = 256 << 20  # of a local cluster; it holds the rows in flight
# Read when Ray is imported and started: no usage statistics, and no log lines. Without the pattern,
# Ray prints the ends of workers to stdout.
_VARIABLES = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_DEDUP_LOGS": "1",
    "RAY_DEDUP_LOGS_SKIP_REGEX": "^",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
_STDERR = 2


def check_address(address: str) -> None:
    """Check that Ray is installed, and that an address may be one of a cluster.

    Raises:
        UsageError: it is not.
    """
    if not all(map(_is_installed, ("ray", "pyarrow", "pandas"))):
        raise missing_extra("Ray", "ray")
    if address.startswith("ray://"):
        raise UsageError(
            f"{option('ray', address)}: Ray Client is not supported; run the command on a node of "
            "the cluster with its address HOST:PORT, or `auto`"
        )
    if address not in (LOCAL, _AUTO):
        _split(address)


def _is_installed(name: str) -> bool:
    found = importlib.util.find_spec(name)
    return found is not None and found.origin is not None  # not a folder of this name


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise UsageError(
            f"{option('ray', address)}: must be local, auto or HOST:PORT, such as 10.0.0.1:6379"
        )
    return host.strip("[]"), int(port)


@contextlib.contextmanager
def private_folder() -> Iterator[Path]:
    """Yield a new private folder with a short path, and remove it and those of killed processes.

    Ray has its sockets there, whose paths are limited to about 100 bytes.
    """
    parent = Path("/tmp" if os.name == "posix" else tempfile.gettempdir())
    for left in parent.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            _remove_if_left(left)
    folder, lock = _make_locked_folder(parent)
    try:
        yield folder
    finally:
        os.close(lock)
        shutil.rmtree(folder, ignore_errors=True)


def _make_locked_folder(parent: Path) -> tuple[Path, int]:
    """Return a new folder and its open lock, by which other processes see that it is in use."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        if lock_descriptor(lock) is not False and os.path.lexists(folder / _LOCK):
            return folder, lock
        os.close(lock)  # `_remove_if_left` was faster than the lock


def _remove_if_left(folder: Path) -> None:
    lock = os.open(folder / _LOCK, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
    try:
        if os.fstat(lock).st_uid == os.geteuid() and lock_descriptor(lock):
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)


def import_ray() -> Any:
    """Return the module `ray`, silent and without telemetry.

    Raises:
        UsageError: a part of Ray is not installed.
    """
    os.environ.update(_VARIABLES)
    try:
        import ray
        import ray.data
    except ImportError as exc:
        raise missing_extra("Ray", "ray") from exc
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return ray


def connect(ray: Any, address: str, folder: Path, *, n_cpus: int) -> None:
    """Start a local cluster in `folder`, or connect to one.

    Args:
        n_cpus: of a local cluster.

    Raises:
        ServerError: the cluster cannot be reached.
    """
    if address not in (LOCAL, _AUTO):
        try:
            socket.create_connection(_split(address), timeout=_CONNECT_SECONDS).close()
        except OSError as exc:
            raise _unreachable(address, exc) from exc
    options: dict[str, Any] = {}
    if address == LOCAL:
        options = {"num_cpus": n_cpus, "object_store_memory": _STORE_BYTES}
        # Ray makes its own folder accessible to all users; the one around it is private.
        options |= {"include_dashboard": False, "_temp_dir": str(folder / "ray")}
    for attempt in range(1, _STARTS + 1):
        try:
            with _without_stderr():
                ray.init(
                    address,
                    log_to_driver=False,
                    configure_logging=False,
                    logging_level=logging.CRITICAL,
                    **options,
                )
            return
        except Exception as exc:  # of any type, if a process of Ray is killed while it starts
            if address != LOCAL or attempt == _STARTS:
                raise _unreachable(address, exc) from exc
        with contextlib.suppress(Exception):
            ray.shutdown()  # what was started


@contextlib.contextmanager
def _without_stderr() -> Iterator[None]:
    """Discard what native code writes to stderr: Ray reports there that it reports nothing."""
    saved, null = os.dup(_STDERR), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, _STDERR)
    try:
        yield
    finally:
        os.dup2(saved, _STDERR)
        os.close(saved)
        os.close(null)


def _unreachable(address: str, exc: Exception) -> ServerError:
    reason = str(exc).partition("\n")[0].partition(". ")[0].rstrip(".")
    if isinstance(exc, OSError) and exc.strerror:
        reason = os_error_reason(exc)
    if address == _AUTO and isinstance(exc, ConnectionError):
        return ServerError("no Ray cluster runs on this machine; start one, or pass HOST:PORT")
    if address == LOCAL:
        return ServerError(f"Ray cannot start on this machine: {reason}; run the command again")
    return ServerError(
        f"no Ray cluster at {address!r} ({reason}); check that it runs with `ray status`"
    )
