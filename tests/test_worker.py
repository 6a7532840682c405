"""Calls in a child process: values, errors, limits, and how the child ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import NoneType
from typing import Any

import pytest
import worker_functions as functions

from llmtool import worker
from llmtool.errors import Cancelled, InputError, UsageError

needs_limits = pytest.mark.skipif(sys.platform == "win32", reason="no limits but the time")
TESTS = Path(__file__).resolve().parent


@pytest.fixture(autouse=True)
def small_limits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(worker, "_SECONDS", 1)
    monkeypatch.setattr(worker, "_MEMORY_BYTES", 150 << 20)
    yield
    worker._worker().stop()


def process_id() -> int:
    return worker.call(functions.process_id, returns=int)


def has_ended(process: int) -> bool:
    """Wait until a process has ended."""
    for _ in range(500):
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


def test_arguments_and_value_are_passed() -> None:
    found = worker.call(functions.join, "a\u4e2d", b"b", None, returns=list[str])
    assert found == ["a\u4e2d", "b", "None"]


def test_one_child_serves_all_calls() -> None:
    first = process_id()
    assert first != os.getpid()
    assert process_id() == first


def test_a_child_that_became_large_serves_no_other_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_MEMORY_BYTES", 400 << 20)
    first = process_id()
    worker.call(functions.keep, "250", returns=NoneType)
    assert process_id() != first


def test_calls_of_several_threads_take_turns() -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(
            pool.map(
                lambda text: worker.call(functions.join, text, b"", None, returns=list[str]),
                "abcdefgh",
            )
        )
    assert [each[0] for each in found] == list("abcdefgh")


def test_our_errors_have_their_type() -> None:
    with pytest.raises(UsageError, match="^wrong$"):
        worker.call(functions.fail, "usage", returns=NoneType)


def test_other_errors_become_one_line() -> None:
    with pytest.raises(InputError, match="^cannot be read: IndexError: out of range$"):
        worker.call(functions.fail, "index", returns=NoneType)


def test_a_value_that_is_not_text_is_an_error() -> None:
    with pytest.raises(InputError, match="^cannot be read: UnicodeEncodeError: "):
        worker.call(functions.surrogate, returns=str)


def test_what_the_function_prints_is_dropped(capfd: pytest.CaptureFixture[str]) -> None:
    assert worker.call(functions.print_text, returns=str) == "returned"
    assert capfd.readouterr() == ("", "")


@needs_limits
@pytest.mark.parametrize(
    ("function", "message"),
    [
        (functions.spin, "takes more than 1 s to read; split it, or convert it to plain text"),
        (functions.allocate_in_steps, "takes more than 150 MiB of memory to read; "),
        (functions.fill, "takes more than 150 MiB of memory to read; "),
        (functions.parse_pages, "takes more than 150 MiB of memory to read; "),
        (functions.crash, r"its reader crashed \(SIGSEGV\); "),
        (
            functions.crash_when_large,
            r"its reader crashed \(SIGSEGV, perhaps because of its memory limit of 150 MiB\); ",
        ),
        (functions.end, r"its reader crashed \(exit status 3\); "),
    ],
    ids=[
        *("time", "memory", "memory for the error", "memory of a parser in C"),
        *("signal", "signal near the limit of memory", "exit"),
    ],
)
def test_a_child_that_reaches_a_limit_is_replaced(
    function: Callable[[], None], message: str
) -> None:
    first = process_id()
    with pytest.raises(InputError, match=f"^{message}"):
        worker.call(function, returns=NoneType)
    assert process_id() != first


@pytest.mark.parametrize(("size", "seconds"), [(1000, 1), (99_000, 1), (200_000, 4)])
def test_time_grows_with_the_size(monkeypatch: pytest.MonkeyPatch, size: int, seconds: int) -> None:
    requests: list[Any] = []

    def record(_: object, request: Any, check: object) -> Any:
        requests.append(request)
        return worker._Reply()

    monkeypatch.setattr(worker._Worker, "_exchange", record)
    worker.call(functions.join, bytes(size), returns=NoneType)
    assert [each.seconds for each in requests] == [seconds]


@needs_limits
def test_the_kernel_limits_time_and_memory() -> None:
    seconds, n_bytes, core = worker.call(functions.limits, returns=list[int])
    assert 1 <= seconds <= 10  # of processor time, with that of the start
    assert (n_bytes, core) == (150 << 20, 0)


@needs_limits
def test_a_large_allocation_fails() -> None:
    with pytest.raises(InputError, match="^takes more than 150 MiB of memory to read; "):
        worker.call(functions.allocate, "300", returns=int)


@pytest.mark.skipif(sys.platform != "linux", reason="exec keeps the peak of the parent on Linux")
def test_peak_of_the_parent_is_not_that_of_a_child() -> None:
    block = b"x" * (300 << 20)
    program = "from llmtool.machine import peak_bytes; print(peak_bytes())"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert int(found.stdout) < len(block)


@needs_limits
def test_memory_is_limited_where_the_kernel_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    # As on macOS, where the limit of the data has no effect.
    monkeypatch.setattr(
        worker, "_CHILD", "import resource; resource.setrlimit = lambda *_: None; " + worker._CHILD
    )
    with pytest.raises(InputError, match="^takes more than 150 MiB of memory to read; "):
        worker.call(functions.allocate_in_steps, returns=NoneType)


def test_a_child_that_does_not_run_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_CLOCK_FACTOR", 1)
    with pytest.raises(InputError, match="^takes more than 1 s to read; "):
        worker.call(functions.sleep, returns=NoneType)


def test_limits_grow_with_the_document() -> None:
    assert worker.call(functions.join, "a" * 2_000_000, b"", None, returns=list[str])


def test_check_stops_a_call_and_its_child() -> None:
    first = process_id()
    started = time.monotonic()

    def check() -> None:
        if time.monotonic() > started + 0.2:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        worker.call(functions.sleep, returns=NoneType, check=check)
    assert time.monotonic() - started < 10
    assert has_ended(first)
    assert process_id() != first


def test_check_stops_a_call_that_waits_for_its_turn() -> None:
    stop = threading.Event()

    def check() -> None:
        if stop.is_set():
            raise Cancelled("stopped")

    def sleep() -> None:
        with pytest.raises(Cancelled):
            worker.call(functions.sleep, returns=NoneType, check=check)

    def fail() -> None:
        raise Cancelled("not waiting")

    first = threading.Thread(target=sleep)
    first.start()
    while not worker._worker()._lock.locked():
        time.sleep(0.01)
    with pytest.raises(Cancelled, match="not waiting"):
        worker.call(functions.sleep, returns=NoneType, check=fail)
    stop.set()
    first.join()


@needs_limits
def test_a_child_whose_parent_is_killed_ends(tmp_path: Path) -> None:
    program = """
    import os, threading, time
    import worker_functions as functions
    from llmtool import worker

    print(worker.call(functions.process_id, returns=int), flush=True)
    worker.call(functions.sleep, returns=type(None))
    """
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        env={**os.environ, "PYTHONPATH": f"{TESTS}{os.pathsep}{TESTS.parent}"},
        stdout=subprocess.PIPE,
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    time.sleep(0.3)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    assert has_ended(child)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_process_starts_its_own_child() -> None:
    first = process_id()
    read, write = os.pipe()
    forked = os.fork()
    if not forked:
        os.write(write, b"%d" % process_id())
        worker._worker().stop()
        os._exit(0)
    os.waitpid(forked, 0)
    assert int(os.read(read, 20)) not in (first, os.getpid())
    os.close(read)
    os.close(write)
    assert process_id() == first
