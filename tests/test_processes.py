"""The library in several threads and processes.

Each test runs a program in a process of its own, whose time limit is reached only by a hang.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from llmtool.errors import ClosedError
from llmtool.local_model import LocalModel
from llmtool.toolbox import Toolbox

HANGS = 120  # seconds
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")


def run(program: str, model: Path, tmp_path: Path) -> str:
    """Run a program with `model` as the default model; return what it prints."""
    file = tmp_path / "program.py"
    file.write_text(PRELUDE + textwrap.dedent(program), encoding="utf-8")
    variables = {"LLMTOOL_MODEL": str(model), "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, str(file)],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=HANGS,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr[-3000:]
    return done.stdout


PRELUDE = """
import multiprocessing, os, signal, sys, threading, warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

# Python 3.12 and later warn about every fork of a process with threads.
warnings.filterwarnings("ignore", ".*use of fork", DeprecationWarning)

import llmtool

OPTIONS = {"max_tokens": 8, "seed": 7}

def reply(_=None):
    return llmtool.generate("Hello", **OPTIONS).text

def fork(call):
    # Return the exit code of a child that calls a function.
    child = os.fork()
    if not child:
        signal.alarm(60)
        try:
            call()
        except BaseException as exc:
            print(repr(exc), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
"""


def test_threads_that_start_together_load_the_model_once(tiny: Path, tmp_path: Path) -> None:
    printed = run(
        """
        import logging

        loads = []

        class Count(logging.Handler):
            def emit(self, record):
                loads.extend([1] * ("loaded meta data" in record.getMessage()))

        logging.getLogger("llmtool").addHandler(Count())
        logging.getLogger("llmtool").setLevel(logging.DEBUG)
        logging.getLogger("llmtool").propagate = False
        started = threading.Barrier(8)

        def call(number):
            started.wait()
            if number % 4 == 0:
                return llmtool.classify("Hello", ["a", "b"]).label in "ab"
            if number % 4 == 1:
                return bool(llmtool.chat(**OPTIONS).say("Hello"))
            return reply()

        with ThreadPoolExecutor(8) as pool:
            results = list(pool.map(call, range(8)))
        assert results == [True, True, reply(), reply()] * 2, results
        print(len(loads))
        """,
        tiny,
        tmp_path,
    )
    assert printed == "1\n"


def test_llama_log_is_silent_in_threads_with_their_own_models(tiny: Path, tmp_path: Path) -> None:
    program = """
        started = threading.Barrier(6)

        def call(_):
            started.wait()
            with llmtool.Toolbox(os.environ["LLMTOOL_MODEL"]) as box:
                return box.generate("Hello", **OPTIONS).text

        with ThreadPoolExecutor(6) as pool:
            assert set(pool.map(call, range(6))) == {reply()}
    """
    for _ in range(3):  # the race is won or lost at the first import
        run(program, tiny, tmp_path)


def test_closing_a_toolbox_stops_its_other_threads(tiny: Path, tmp_path: Path) -> None:
    run(
        """
        box = llmtool.Toolbox(os.environ["LLMTOOL_MODEL"])
        streaming = threading.Event()
        errors = []

        def stream():
            try:
                while True:
                    for token in box.stream_generate("Hello", max_tokens=200):
                        streaming.set()
            except llmtool.LlmtoolError as exc:
                errors.append(type(exc).__name__)

        threads = [threading.Thread(target=stream) for _ in range(4)]
        for thread in threads:
            thread.start()
        streaming.wait()
        box.close()
        for thread in threads:
            thread.join()
        assert errors == ["ClosedError"] * 4, errors
        """,
        tiny,
        tmp_path,
    )


def test_closing_a_toolbox_while_it_loads_stops_the_load(tiny: Path) -> None:
    loading = threading.Event()

    def wait_for_close(_done: float, _total: float) -> None:
        loading.set()
        while not box.cancellation.cancelled:
            pass

    box = Toolbox(tiny, on_load_progress=wait_for_close)
    with ThreadPoolExecutor(1) as pool:
        reply = pool.submit(box.generate, "Hello")
        loading.wait()
        model = box.context.model
        box.close()
        assert isinstance(reply.exception(), ClosedError)
    assert isinstance(model, LocalModel) and not model.is_loaded


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_pools_of_processes_generate(method: str, tiny: Path, tmp_path: Path) -> None:
    if not hasattr(os, "fork") and method != "spawn":
        pytest.skip("no fork")
    run(
        f"""
        def raises(_):
            llmtool.generate("Hello", max_tokens=10**6)

        if __name__ == "__main__":
            expected = reply()
            start = multiprocessing.get_context({method!r})
            with start.Pool(2) as pool:
                assert pool.map(reply, range(3)) == [expected] * 3
            with ProcessPoolExecutor(2, mp_context=start) as pool:
                sent = pool.submit(llmtool.generate, "Hello", **OPTIONS)
                assert sent.result().text == expected
                error = pool.submit(raises, 0).exception()
                assert type(error) is llmtool.ContextOverflow and error.needed > 10**6, error
                try:
                    pool.submit(llmtool.Toolbox("any").generate, "Hello").result()
                except llmtool.UsageError as exc:
                    assert "another process" in str(exc)
            assert reply() == expected
        """,
        tiny,
        tmp_path,
    )


@needs_fork
def test_forked_child_loads_the_model_again(tiny: Path, tmp_path: Path) -> None:
    run(
        """
        box = llmtool.Toolbox(os.environ["LLMTOOL_MODEL"], n_threads=4)  # with OpenMP's threads
        expected = reply()

        def child():
            assert reply() == expected
            assert box.generate("Hello", **OPTIONS).text == expected
            assert llmtool.classify("Hello", ["a", "b"]).label in "ab"
            assert fork(lambda: box.generate("Hello", **OPTIONS)) == 0  # a child of the child

        assert box.generate("Hello", **OPTIONS).text == expected
        assert fork(child) == 0
        assert box.generate("Hello", **OPTIONS).text == expected
        """,
        tiny,
        tmp_path,
    )


@needs_fork
def test_forked_child_has_the_time_limit_of_its_parent(tmp_path: Path) -> None:
    run(
        """
        import time
        from llmtool.cancellation import Cancellation, TimeLimit

        cancellation = Cancellation()

        def wait():
            while True:
                cancellation.check()
                time.sleep(0.001)

        def child():
            try:
                with limit:
                    wait()
            except llmtool.TimeoutExpired:
                return
            raise AssertionError

        limit = TimeLimit(cancellation, 0.2)
        assert fork(child) == 0
        """,
        tmp_path / "unused.gguf",
        tmp_path,
    )


@needs_fork
def test_child_generates_while_a_thread_of_the_parent_generates(tiny: Path, tmp_path: Path) -> None:
    run(
        """
        streaming, stop = threading.Event(), threading.Event()

        def stream():
            while not stop.is_set():
                for token in llmtool.stream_generate("Hello", max_tokens=200):
                    streaming.set()

        threads = [threading.Thread(target=stream) for _ in range(2)]
        for thread in threads:
            thread.start()
        streaming.wait()
        assert [fork(reply) for _ in range(5)] == [0] * 5
        stop.set()
        for thread in threads:
            thread.join()
        assert fork(reply) == 0
        """,
        tiny,
        tmp_path,
    )


@needs_fork
def test_child_of_a_thread_has_the_signal_handlers_of_the_program(
    tiny: Path, tmp_path: Path
) -> None:
    run(
        """
        codes = []

        def child():
            os.kill(os.getpid(), signal.SIGINT)  # must not cancel the parent's reply

        def interrupted():
            try:
                child()
            except KeyboardInterrupt:
                os._exit(3)

        def work():
            streaming.wait()
            codes.extend(fork(interrupted) for _ in range(5))
            stop.set()

        streaming, stop = threading.Event(), threading.Event()
        thread = threading.Thread(target=work)
        thread.start()
        while not stop.is_set():
            for token in llmtool.stream_generate("Hello", max_tokens=100):
                streaming.set()
        thread.join()
        assert codes == [3] * 5, codes
        """,
        tiny,
        tmp_path,
    )


@needs_fork
def test_child_cannot_continue_a_stream_of_its_parent(tiny: Path, tmp_path: Path) -> None:
    run(
        """
        stream = llmtool.stream_generate("Hello", **OPTIONS)
        first = next(stream)

        def child():
            try:
                next(stream)
            except llmtool.EngineError as exc:
                assert "forked" in str(exc), exc
            else:
                raise AssertionError("continued")
            reply()

        assert fork(child) == 0
        assert list(stream)
        """,
        tiny,
        tmp_path,
    )


@needs_fork
def test_chat_of_the_parent_is_not_saved_by_a_child(tiny: Path, tmp_path: Path) -> None:
    run(
        """
        notes = []
        chat = llmtool.chat(session="talk", on_note=notes.append, **OPTIONS)
        first = chat.say("Hello")

        def child():
            chat.say("Hello again")
            assert notes == [f"this turn is not saved: {chat.save_error}"], notes
            assert "another process" in chat.save_error, chat.save_error
            chat.close()

        assert fork(child) == 0
        chat.say("And again")
        assert chat.save_error is None
        chat.close()
        with llmtool.chat(session="talk") as saved:
            assert len(saved.turns) == 2, saved.turns
        """,
        tiny,
        tmp_path,
    )
