"""Start the command without its imports: a process that has imported llmtool forks a child.

The child has its own process id, and its parent is the process that runs the tests, as with
`subprocess.Popen`. What a process gets from the start of the interpreter remains with `Popen`.
"""

from __future__ import annotations

import ctypes
import functools
import gc
import importlib
import json
import os
import pkgutil
import runpy
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
START_UP = ("LANG", "LC_", "PYTHON", "LD_", "DYLD_", "OMP_", "GOMP_", "GGML_", "MALLOC_", "COVER")
_ENVIRONMENT = {
    "LANG": "C.UTF-8",
    "PYTHONPATH": str(ROOT),
    **{name: value for name, value in os.environ.items() if "LD_LIBRARY_PATH" in name},
}
_OTHERS = "filelock", "markdown_it", "prompt_toolkit", "rich.markdown", "rich.progress", "yaml"
_SET_CHILD_SUBREAPER = 36


def start(
    args: Sequence[str | bytes | Path],
    *,
    env: Mapping[str, str],
    cwd: Path | str | None = None,
    terminal: str | None = None,
    fork: bool = True,
    **options: Any,
) -> subprocess.Popen[bytes]:
    """Start `[python, "-m", "llmtool", ...]` or `[python, "script.py", ...]`, forked if possible.

    It is not possible with options of `Popen` other than the standard streams, or with variables
    that the interpreter reads. `terminal` is the device of the child's controlling terminal.
    """
    started_with = {name: value for name, value in env.items() if name.startswith(START_UP)}
    words = [os.fsdecode(arg) for arg in args]
    fork = (
        fork
        and sys.platform == "linux"
        and not options.keys() - {"stdin", "stdout", "stderr"}
        and started_with == _ENVIRONMENT
        and words[0] == sys.executable
        and (words[1:3] == ["-m", "llmtool"] or words[1].endswith(".py"))
    )
    if fork:
        return _ForkedPopen(words, env=env, cwd=cwd, **options, _terminal=terminal)
    if terminal is not None:
        options |= {"start_new_session": True, "preexec_fn": lambda: _open_terminal(terminal)}
    return subprocess.Popen(args, env=env, cwd=cwd, **options)


class _ForkedPopen(subprocess.Popen[bytes]):
    def __init__(self, args: list[str], *, _terminal: str | None, **options: Any) -> None:
        self._terminal = _terminal
        super().__init__(args, **options)

    def _execute_child(self, args: list[str], *rest: Any) -> None:
        cwd, env, pipes = rest[4], rest[5], rest[9:15]
        request = {"args": args, "env": dict(env), "cwd": os.fsdecode(cwd or os.getcwd())}
        streams = [fd if fd != -1 else n for n, fd in enumerate((pipes[0], pipes[3], pipes[5]))]
        self.pid = _server().fork({**request, "terminal": self._terminal}, streams)
        self._child_created = True
        self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]


@functools.cache
def _server() -> _Server:
    return _Server()


class _Server:
    """The process that forks, from the side of the tests."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno())],
                env={**_ENVIRONMENT, "PATH": os.defpath},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )

    def fork(self, request: dict[str, Any], streams: Sequence[int]) -> int:
        """Return the id of a new process, which is a child of this one."""
        with self._lock:
            self._adopt(True)
            try:
                socket.send_fds(self._socket, [json.dumps(request).encode()], streams)
                pid, end = self._socket.recv(32), self._socket.recv(32)
            finally:
                self._adopt(False)
        assert end == b"orphaned", "the fork server has ended"
        return int(pid)

    @staticmethod
    def _adopt(wanted: bool) -> None:
        """Become the parent of descendants whose parent ends."""
        ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, int(wanted), 0, 0, 0)


def _open_terminal(device: str) -> None:
    """Make it the controlling terminal of this process, which leads a session without one."""
    os.close(os.open(device, os.O_RDWR))


def _serve(requests: socket.socket) -> dict[str, Any]:
    """Fork a child for each request, whose parent ends; return only in a child."""
    while True:
        data, fds, _, _ = socket.recv_fds(requests, 1 << 20, 3)
        if not data:
            os._exit(0)  # the tests have ended
        between = os.fork()
        if between == 0:
            if pid := os.fork():
                requests.send(b"%d" % pid)
                os._exit(0)
            for fd, stream in enumerate(fds):
                os.dup2(stream, fd)
            os.closerange(3, 256)
            requests.detach()
            return dict(json.loads(data))
        os.waitpid(between, 0)
        requests.send(b"orphaned")
        for fd in fds:
            os.close(fd)


def _become(args: list[str], env: dict[str, str], cwd: str, terminal: str | None) -> None:
    """Set what a new process gets when it starts."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    if terminal is not None:
        os.setsid()
        _open_terminal(terminal)
    sys.stdin = open(0, encoding="utf-8", errors="surrogateescape", closefd=False)
    for name, fd, errors in (("stdout", 1, "surrogateescape"), ("stderr", 2, "backslashreplace")):
        stream = open(fd, "w", encoding="utf-8", errors=errors, closefd=False)
        stream.reconfigure(line_buffering=fd == 2 or stream.isatty())
        setattr(sys, name, stream)
    sys.argv = [args[1], *args[2:]] if args[1] != "-m" else [args[2], *args[3:]]
    sys.path[0] = os.getcwd() if args[1] == "-m" else os.path.dirname(args[1])


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # it is for a child
    import llmtool

    modules = pkgutil.walk_packages(llmtool.__path__, "llmtool.")
    for name in (*(each.name for each in modules if "__main__" not in each.name), *_OTHERS):
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    _become(**(request := _serve(socket.socket(fileno=int(sys.argv[1])))))
    args = request["args"]
    if args[1] == "-m":
        importlib.import_module("llmtool.__main__").main()
    else:
        runpy.run_path(args[1], run_name="__main__")


if __name__ == "__main__":
    main()
