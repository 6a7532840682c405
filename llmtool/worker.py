"""Call functions that parse documents in a child process, within limits of time and memory.

The child is a new interpreter without the parent's threads, model and GPU. It starts with the first
call, serves the later ones, and ends with the parent. A call that reaches a limit, or that the
caller stops, ends it; the next call starts another.

On Linux, the kernel enforces both limits. On macOS, which does not limit memory, a thread of the
child compares its size, which native code can delay. On Windows, only the time is limited, by the
clock.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import math
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import lru_cache
from typing import IO, Any, TypeVar

import msgspec

from llmtool.background import acquire, run_cancellable
from llmtool.errors import InputError, LlmtoolError, UsageError, os_error_reason
from llmtool.forks import call_after_fork
from llmtool.machine import peak_bytes, resident_bytes

T = TypeVar("T")
Argument = str | bytes | None

# Characters or bytes of a document that is parsed by the caller itself, if its reader is linear.
MAX_IN_PROCESS = 100_000

_CHILD = "import sys; sys.path[:] = {path!r}; from llmtool.worker import main; main()"
_SECONDS, _BYTES_PER_SECOND = 4, 50_000  # of processor time; the kernel adds up to 1 s
_MEMORY_BYTES, _MEMORY_PER_BYTE = 400 << 20, 40
_CLOCK_FACTOR = 1 if sys.platform == "win32" else 20  # a busy machine; a child that was stopped
_MAX_REPLY_BYTES = 512 << 20
_MAX_REASON = 200  # characters of another project's error
_POLL_SECONDS = 0.05
_END_SECONDS = 1  # after the child closed its pipe
_OUT_OF_MEMORY = 77  # exit status of the child
_LENGTH = struct.Struct(">Q")
_REMEDY = "split it, or convert it to plain text"


class _Request(msgspec.Struct, array_like=True):
    function: str
    arguments: list[Any]  # `Argument`, which msgspec does not distinguish
    seconds: int
    memory_bytes: int


class _Reply(msgspec.Struct, array_like=True):
    """The value of a call, or its error: the name of the class, and the message.

    `is_last`: the child is too large for other calls.
    """

    value: msgspec.Raw = msgspec.Raw(b"\xc0")
    error: str = ""
    message: str = ""
    is_last: bool = False


class _Ended(Exception):
    """The child ended before it replied, or did not end in time."""


def call(
    function: Callable[..., T],
    *arguments: Argument,
    returns: type[T],
    seconds: int | None = None,
    memory_bytes: int | None = None,
    check: Callable[[], object] = lambda: None,
) -> T:
    """Return `function(*arguments)`, a function of a module, called in the child process.

    The limits grow with the size of the arguments, except `seconds` (of processor time) and
    `memory_bytes`. `returns` is a type that msgspec decodes. `check` is polled; it raises to stop
    the call.

    Raises:
        InputError: a limit was reached, the child crashed, or the function raised an error.
        UsageError: the function raised it.

    Example:
        >>> from llmtool.encoding import escape_name
        >>> call(escape_name, "a.txt", returns=str)
        'a.txt'
    """
    return _worker().call(function, arguments, returns, seconds, memory_bytes, check)


def describe(exc: Exception) -> str:
    """Return an error of another project, of any type, as one line.

    Example:
        >>> describe(IndexError("out of range")), describe(RecursionError())
        ('cannot be read: IndexError: out of range', 'cannot be read: it is nested too deeply')
    """
    if isinstance(exc, RecursionError):
        return "cannot be read: it is nested too deeply"
    return f"cannot be read: {type(exc).__name__}: {' '.join(str(exc).split())[:_MAX_REASON]}"


@lru_cache(maxsize=1)
def _worker() -> _Worker:
    worker = _Worker()
    atexit.register(worker.stop)
    return worker


class _Worker:
    """A child process, which serves one call at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        call_after_fork(self)

    def after_fork(self) -> None:
        self._lock = threading.Lock()
        if self._child is not None:
            self._child.returncode = 0  # it is a child of the parent
            self._child = None

    def call(
        self,
        function: Callable[..., T],
        arguments: tuple[Argument, ...],
        returns: type[T],
        seconds: int | None,
        memory_bytes: int | None,
        check: Callable[[], object],
    ) -> T:
        size = sum(len(each) for each in arguments if each is not None)
        request = _Request(
            function=f"{function.__module__}:{function.__qualname__}",
            arguments=list(map(_without_surrogates, arguments)),
            seconds=seconds or max(_SECONDS, size // _BYTES_PER_SECOND),
            memory_bytes=memory_bytes or _MEMORY_BYTES + size * _MEMORY_PER_BYTE,
        )
        acquire(self._lock, check)
        try:
            reply = self._exchange(request, check)
            if not reply.error:
                return msgspec.msgpack.decode(reply.value, type=returns)
        except BaseException:
            self.stop()
            raise
        finally:
            self._lock.release()
        raise (UsageError if reply.error == "UsageError" else InputError)(reply.message)

    def _exchange(self, request: _Request, check: Callable[[], object]) -> _Reply:
        """Send a request and return the reply; the caller ends the child after an error."""
        child = self._child = self._child or _start()
        end = time.monotonic() + request.seconds * _CLOCK_FACTOR
        peak = 0  # sampled while waiting

        def check_all() -> None:
            nonlocal peak
            check()
            peak = max(peak, resident_bytes(child.pid) or 0)
            if time.monotonic() > end:
                raise _Ended

        def stop(thread: threading.Thread) -> None:
            child.kill()
            thread.join()

        content = msgspec.msgpack.encode(request)
        try:
            found = run_cancellable(lambda: _ask(child, content), check_all, on_abandon=stop)
            reply = msgspec.msgpack.decode(found, type=_Reply)
        except (_Ended, msgspec.DecodeError) as exc:
            has_timed_out = time.monotonic() > end
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(_END_SECONDS)
            child.kill()
            raise InputError(_why_ended(child.wait(), peak, request, has_timed_out)) from exc
        if reply.is_last:
            self.stop()
        return reply

    def stop(self) -> None:
        """End the child."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.wait()
            for pipe in (child.stdin, child.stdout):
                with contextlib.suppress(OSError):
                    assert pipe is not None
                    pipe.close()


def _start() -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            [sys.executable, "-I", "-c", _CHILD.format(path=sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except OSError as exc:
        reason = os_error_reason(exc)
        raise LlmtoolError(f"cannot start a process that reads the document: {reason}") from exc


def _ask(child: subprocess.Popen[bytes], content: bytes) -> bytes:
    assert child.stdin is not None and child.stdout is not None
    try:
        _write(child.stdin, content)
        found = _read(child.stdout, _MAX_REPLY_BYTES)
    except OSError as exc:
        raise _Ended from exc
    if found is None:
        raise _Ended
    return found


def _write(stream: IO[bytes], content: bytes) -> None:
    stream.write(_LENGTH.pack(len(content)))
    stream.write(content)
    stream.flush()


def _read(stream: IO[bytes], max_bytes: int) -> bytes | None:
    """Return the next message, None at the end of the stream."""
    header = stream.read(_LENGTH.size)
    if len(header) < _LENGTH.size:
        return None
    (size,) = _LENGTH.unpack(header)
    content = stream.read(size) if size <= max_bytes else b""
    return content if len(content) == size else None


def _without_surrogates(argument: Argument) -> Argument:
    """Return an argument that can be encoded, of the same length."""
    if not isinstance(argument, str):
        return argument
    return argument.encode("utf-8", "replace").decode("utf-8")


def _why_ended(status: int, peak: int, request: _Request, has_timed_out: bool) -> str:
    if has_timed_out or status == -getattr(signal, "SIGXCPU", 0):
        return f"takes more than {request.seconds} s to read; {_REMEDY}"
    if status == _OUT_OF_MEMORY:
        return _too_large(request)
    reason = signal.Signals(-status).name if status < 0 else f"exit status {status}"
    if peak > request.memory_bytes // 2:  # native code may not check what it allocates
        reason += f", perhaps because of its memory limit of {request.memory_bytes >> 20} MiB"
    return f"its reader crashed ({reason}); {_REMEDY}"


def _too_large(request: _Request) -> str:
    return f"takes more than {request.memory_bytes >> 20} MiB of memory to read; {_REMEDY}"


def main() -> None:
    """Serve the requests of the parent until it closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C; the parent ends this child
    source, target = open(0, "rb"), open(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # output of parsers is dropped
    limits = _Limits()
    while (content := _read(source, sys.maxsize)) is not None:
        request = msgspec.msgpack.decode(content, type=_Request)
        limits.set(request)
        try:
            reply = _answer(request)
            reply.is_last = _size_bytes() > _MEMORY_BYTES // 4
            answer = msgspec.msgpack.encode(reply)
        except MemoryError:  # also while another error is handled
            os._exit(_OUT_OF_MEMORY)
        _write(target, answer)


def _answer(request: _Request) -> _Reply:
    module, _, name = request.function.partition(":")
    peak = peak_bytes() or 0
    try:
        value = getattr(importlib.import_module(module), name)(*request.arguments)
        return _Reply(value=msgspec.Raw(msgspec.msgpack.encode(value)))
    except LlmtoolError as exc:
        return _Reply(error=type(exc).__name__, message=str(exc))
    except MemoryError:
        raise
    except Exception as exc:
        # Parsers in C have errors of their own for exhausted memory.
        if (peak_bytes() or 0) > max(peak, request.memory_bytes // 2):
            raise MemoryError from exc
        return _Reply(error=InputError.__name__, message=describe(exc))


class _Limits:
    """The limits of the child, which ends without a reply when it reaches one.

    A thread checks its size, and whether the parent still exists.
    """

    def __init__(self) -> None:
        self._memory_bytes = 0
        self._parent = os.getppid()
        with contextlib.suppress(ImportError):
            import resource

            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        threading.Thread(target=self._watch, daemon=True).start()

    def set(self, request: _Request) -> None:
        """Set the limits of the next call."""
        self._memory_bytes = request.memory_bytes
        with contextlib.suppress(ImportError, ValueError, OSError):  # not on Windows; lower ones
            import resource

            end = math.ceil(time.process_time() + request.seconds)
            resource.setrlimit(
                resource.RLIMIT_CPU, (end, resource.getrlimit(resource.RLIMIT_CPU)[1])
            )
            hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
            resource.setrlimit(resource.RLIMIT_DATA, (request.memory_bytes, hard))

    def _watch(self) -> None:
        while os.getppid() == self._parent:
            time.sleep(_POLL_SECONDS)
            if self._memory_bytes and _size_bytes() > self._memory_bytes:
                os._exit(_OUT_OF_MEMORY)
        os._exit(0)


def _size_bytes() -> int:
    """Return the size of this process on Linux, and its largest size so far on other systems."""
    return resident_bytes() or peak_bytes() or 0
