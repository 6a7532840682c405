"""Run the command inside the test process: the same result as a child's, without its start-up."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import select
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from llmtool.cli.app import run
from llmtool.cli.terminal.console import Console
from llmtool.cli.terminal.interrupts import Interrupts
from llmtool.engine.llama.interrupts import STOP_SIGNALS

T = TypeVar("T")
# What the interpreter or a library reads once, when it starts.
_START_UP = ("LANG", "LC_", "PYTHON", "LD_", "OMP_", "GOMP_", "GGML_")
_ENVIRONMENT = {"LANG": "C.UTF-8", "PYTHONPATH": str(Path(__file__).resolve().parent.parent)}
_SIGNALS = [
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBUS", "SIGWINCH")
    if hasattr(signal, name)
]


def run_in_process(
    args: Sequence[str | bytes | Path],
    *,
    env: Mapping[str, str],
    cwd: Path | str,
    input: bytes | None = b"",
    stdin: Any = subprocess.PIPE,
    stdout: Any = subprocess.PIPE,
    stderr: Any = subprocess.PIPE,
) -> subprocess.CompletedProcess[bytes]:
    """Run `llmtool` with these arguments in this process, as `subprocess.run` would in a child.

    Environment, working directory, standard streams, signal handlers and logging are those of a
    new process during the call, and restored after it.
    """
    words = [os.fsdecode(arg) for arg in args]
    code, output, errors = call_in_process(
        lambda: _run(words),
        env=env, cwd=cwd, input=input, stdin=stdin, stdout=stdout, stderr=stderr,
    )  # fmt: skip
    if -code in STOP_SIGNALS:  # it was meant for this process
        signal.raise_signal(-code)
    return subprocess.CompletedProcess(["llmtool", *words], code, output, errors)


def _run(words: list[str]) -> int:
    with contextlib.closing(Console(Interrupts())) as console:
        try:
            code = run(console, words)
        except Exception:
            traceback.print_exc()
            code = 1
        console.flush_quietly()
        return code


def call_in_process(
    function: Callable[[], T],
    *,
    env: Mapping[str, str],
    cwd: Path | str,
    input: bytes | None = b"",
    stdin: Any = subprocess.PIPE,
    stdout: Any = subprocess.PIPE,
    stderr: Any = subprocess.PIPE,
) -> tuple[T, bytes | None, bytes | None]:
    """Call a function as in a new process; return its result, standard output and error."""
    with contextlib.ExitStack() as stack:
        output = [_Output(stdout), _Output(stderr)]
        if stderr == subprocess.STDOUT:
            output[1] = output[0]
        source = stack.enter_context(_input(stdin, input))
        stack.enter_context(_descriptors(source, *(each.fd for each in output)))
        stack.enter_context(_environment(env, cwd))
        stack.enter_context(_signals())
        stack.enter_context(_logging())
        stack.enter_context(hub_unloaded())
        result = function()
    return result, output[0].read(), None if output[1] is output[0] else output[1].read()


class _Output:
    """Where a stream of the command goes: a pipe that is read to its end, or the caller's file."""

    def __init__(self, target: Any) -> None:
        self._data = bytearray()
        self._thread: threading.Thread | None = None
        self._owned = True
        if target == subprocess.PIPE:
            reader, self.fd = os.pipe()
            self._thread = threading.Thread(target=self._collect, args=(reader,), daemon=True)
            self._thread.start()
        elif target is None or target == subprocess.DEVNULL or target == subprocess.STDOUT:
            self.fd = os.open(os.devnull, os.O_WRONLY)
        else:
            self.fd, self._owned = target if isinstance(target, int) else target.fileno(), False

    def _collect(self, reader: int) -> None:
        with open(reader, "rb", buffering=0) as stream:
            while data := stream.read(65536):
                self._data += data

    def read(self) -> bytes | None:
        """Close our end, and return what was written, or None if it did not go to a pipe."""
        if self._owned:
            os.close(self.fd)
        if self._thread is None:
            return None
        self._thread.join()
        return bytes(self._data)


@contextlib.contextmanager
def _input(stdin: Any, data: bytes | None) -> Iterator[int]:
    """Yield the descriptor of standard input: a pipe with `data`, or the caller's file."""
    if stdin == subprocess.DEVNULL or data is None:
        stdin = os.open(os.devnull, os.O_RDONLY)
        try:
            yield stdin
        finally:
            os.close(stdin)
        return
    if stdin != subprocess.PIPE:
        yield stdin if isinstance(stdin, int) else stdin.fileno()
        return
    reader, writer = os.pipe()

    def feed() -> None:
        with contextlib.suppress(BrokenPipeError), open(writer, "wb", buffering=0) as stream:
            view = memoryview(data)
            while view:
                view = view[stream.write(view) :]

    thread = threading.Thread(target=feed, daemon=True)
    thread.start()
    if len(data) <= select.PIPE_BUF:
        thread.join()  # the pipe holds all of it before the command looks
    try:
        yield reader
    finally:
        os.close(reader)
        thread.join()


@contextlib.contextmanager
def _descriptors(*sources: int) -> Iterator[None]:
    """Make these the standard streams, for Python and for native code."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    saved = [os.dup(fd) for fd in range(3)]
    streams = sys.stdin, sys.stdout, sys.stderr
    try:
        for fd, source in enumerate(sources):
            os.dup2(source, fd)
        sys.stdin, sys.stdout, sys.stderr = (
            io.TextIOWrapper(
                open(fd, mode, closefd=False), encoding="utf-8", errors="replace", newline="\n"
            )
            for fd, mode in ((0, "rb"), (1, "wb"), (2, "wb"))
        )
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        sys.stdin, sys.stdout, sys.stderr = streams
        for fd, copy in enumerate(saved):
            os.dup2(copy, fd)
            os.close(copy)


@contextlib.contextmanager
def _environment(env: Mapping[str, str], cwd: Path | str) -> Iterator[None]:
    for name, value in env.items():
        if name.startswith(_START_UP) and value not in (
            os.environ.get(name),
            _ENVIRONMENT.get(name),
        ):
            raise ValueError(f"{name} is read when a process starts: use run_llmtool_process")
    saved, folder = dict(os.environ), os.open(".", os.O_RDONLY)
    try:
        os.environ.clear()
        os.environ.update(env)
        os.chdir(cwd)
        yield
    finally:
        os.environ.clear()
        os.environ.update(saved)
        os.chdir(folder)
        os.close(folder)


@contextlib.contextmanager
def _signals() -> Iterator[None]:
    """Start with the handlers of a new process."""
    saved = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        yield
    finally:
        for number, handler in saved.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _logging() -> Iterator[None]:
    """Start without handlers; pytest has its own, which would format each line of llama.cpp."""
    loggers = [logging.getLogger(), logging.getLogger("llmtool")]
    saved = [(logger, logger.level, logger.handlers[:]) for logger in loggers]
    try:
        for logger in loggers:
            logger.handlers.clear()
            logger.setLevel(logging.NOTSET)
        loggers[0].setLevel(logging.WARNING)
        yield
    finally:
        for logger, level, handlers in saved:
            logger.handlers[:] = handlers
            logger.setLevel(level)


@contextlib.contextmanager
def hub_unloaded() -> Iterator[None]:
    """Let huggingface_hub read the environment again, which it does when it is imported."""

    def unload() -> dict[str, Any]:
        names = [name for name in sys.modules if name.split(".")[0] == "huggingface_hub"]
        return {name: sys.modules.pop(name) for name in names}

    saved = unload()
    try:
        yield
    finally:
        unload()
        sys.modules.update(saved)
