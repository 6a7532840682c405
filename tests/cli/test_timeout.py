"""`--timeout`: every command that runs a model ends with exit code 19 in every phase."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cli.calls import ASKING, FILES, LABELS, stage
from command import INFINITE, error_line
from tiny_vocabulary import TokenType, bpe_vocabulary

from llmtool.cancellation import Cancellation
from llmtool.cli.app import root_command
from llmtool.cli.commands.chat.render import ReplyView
from llmtool.cli.framework.completion import walk
from llmtool.cli.terminal.console import Console
from llmtool.cli.terminal.interrupts import Interrupts
from llmtool.engine.llama.scheduler import Scheduler
from llmtool.engine.types import Token
from llmtool.errors import Cancelled, OutputError, TimeoutExpired

Run = Callable[..., subprocess.CompletedProcess[bytes]]
MESSAGE = "llmtool: not finished after 0.2 s; raise --timeout"


@pytest.fixture(scope="session")
def endless(tiny_model: Callable[..., Path]) -> Path:
    vocabulary = bpe_vocabulary()
    for name in ("prefix", "suffix", "middle"):  # for `code complete`
        text = f"<|fim_{name}|>"
        vocabulary.add(text, text.encode(), TokenType.CONTROL)
    return tiny_model("plain", **INFINITE, vocabulary=vocabulary)


@pytest.fixture
def engine_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the engine wait until it is cancelled."""

    def run(scheduler: Scheduler) -> Iterator[Any]:
        while True:
            scheduler._model.cancellation.check()
            yield from ()

    monkeypatch.setattr(Scheduler, "run", run)


def test_every_command_with_a_model_has_the_option() -> None:
    commands = {
        " ".join(each.words): {name for flag in each.flags for name in flag.names}
        for each in walk(root_command())
    }
    with_model = {words for words, names in commands.items() if "--model" in names}
    with_timeout = {words for words, names in commands.items() if "--timeout" in names}
    assert with_model - with_timeout == {"mcp"}  # a server has no end
    others = {"", "prompts show", "serve", "mcp", "batch run"}
    assert with_model - others <= ASKING.keys()


def test_batch_file_stops(run_llmtool: Run, endless: Path, cwd: Path, engine_waits: None) -> None:
    body = {"messages": [{"role": "user", "content": "Go on"}]}
    line = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": body}
    (cwd / "requests.jsonl").write_text(json.dumps(line))
    result = run_llmtool("batch", "run", "requests.jsonl", "-m", endless, "--timeout", "0.2")
    assert result.returncode == 19
    assert MESSAGE in result.stderr.decode()


@pytest.mark.parametrize("words", ASKING.values(), ids=ASKING)
def test_every_command_stops(
    run_llmtool: Run,
    endless: Path,
    cwd: Path,
    env: dict[str, str],
    words: tuple[str, ...],
    engine_waits: None,
) -> None:
    for name, content in FILES.items():
        (cwd / name).write_bytes(content)
    if "commit" in words:
        stage(cwd, env)
    result = run_llmtool(*words, "-m", endless, "--timeout", "0.2", stdin=subprocess.DEVNULL)
    assert error_line(result, 19) == MESSAGE


@pytest.mark.parametrize(
    "words",
    [
        ("gen", "Go on", "--max-tokens", "60000"),
        ("gen", "-f", "long.txt", "--ctx-size", "65536"),
        ("classify", "-f", "long.txt", "-l", "a,b", "--ctx-size", "65536"),
    ],
    ids=["decoding", "prefill", "scoring"],
)
def test_native_code_stops(
    run_llmtool: Run, endless: Path, cwd: Path, words: tuple[str, ...]
) -> None:
    (cwd / "long.txt").write_bytes(b"the river and the hill " * 2000)
    args = (*words, "-m", endless, "--timeout", "0.2", "--json")
    assert error_line(run_llmtool(*args, stdin=subprocess.DEVNULL), 19) == MESSAGE


def test_loading_a_model_to_count_tokens_stops(
    run_llmtool: Run, tiny: Path, cwd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wait(*_: object, **__: object) -> None:
        while True:
            with limits[0].interruptible():
                pass

    start, limits = Interrupts.start_timer, []

    def start_now(self: Interrupts, seconds: float) -> None:
        limits.append(self)
        start(self, seconds)

    monkeypatch.setattr(Interrupts, "start_timer", start_now)
    monkeypatch.setattr("llmtool.cli.bootstrap.open_context", wait)
    (cwd / "ask.yaml").write_bytes(FILES["ask.yaml"])
    words = ("prompts", "show", "./ask.yaml", "-p", "text=Hi", "--tokens")
    words += ("-m", tiny, "--timeout", "0.2")
    assert error_line(run_llmtool(*words, stdin=subprocess.DEVNULL), 19) == MESSAGE


def test_reading_stdin_stops(start_llmtool: Callable[..., Any], tiny: Path) -> None:
    process = start_llmtool("gen", "-m", tiny, "--timeout", "0.2")
    assert process.wait(30) == 19  # standard input stays open
    assert process.stderr.read().decode() == f"{MESSAGE}\n"


@pytest.mark.parametrize(
    "words",
    [("gen", "Hi", "-f"), ("sum",), ("translate", "--to", "fr", "-f"), ("code", "explain")],
    ids=lambda words: words[0],
)
def test_reading_a_url_stops(
    run_llmtool: Run, monkeypatch: pytest.MonkeyPatch, tiny: Path, words: tuple[str, ...]
) -> None:
    ended = threading.Event()
    monkeypatch.setattr("llmtool.web.page._fetch", lambda *_: ended.wait(60))
    args = (*words, "https://example.org/", "-m", tiny, "--timeout", "0.2")
    result = run_llmtool(*args, stdin=subprocess.DEVNULL, env={"HF_HUB_OFFLINE": None})
    ended.set()
    assert error_line(result, 19) == MESSAGE


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
@pytest.mark.parametrize(
    "words",
    [
        ("gen", "Hi", "-f", "fifo"),
        ("gen", "Hi", "--grammar", "fifo"),
        ("gen", "--each", "csv", "-f", "fifo"),
        ("classify", "eval", "fifo", *LABELS),
    ],
    ids=["text", "grammar", "batch", "labelled texts"],
)
def test_opening_a_fifo_without_a_writer_stops(
    run_llmtool: Run, cwd: Path, tiny: Path, words: tuple[str, ...]
) -> None:
    os.mkfifo(cwd / "fifo")
    args = (*words, "-m", tiny, "--timeout", "0.2")
    assert error_line(run_llmtool(*args, stdin=subprocess.DEVNULL), 19) == MESSAGE


def test_batch_keeps_the_rows_and_names_the_option_that_continues(
    run_llmtool: Run, tiny: Path, cwd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, limits = Interrupts.start_timer, []

    def start_later(self: Interrupts, seconds: float) -> None:
        limits.append((self, seconds))
        start(self, 1000)

    def expire(scheduler: Scheduler) -> Iterator[Any]:
        for interrupts, seconds in limits:
            interrupts._expire(seconds)
        scheduler._model.cancellation.check()
        yield from ()

    monkeypatch.setattr(Interrupts, "start_timer", start_later)
    monkeypatch.setattr(Scheduler, "run", expire)
    result = run_llmtool(
        *("gen", "--each", "line", "--jsonl", "-o", "out.jsonl", "-m", tiny, "--timeout", "0.2"),
        input=b"one\ntwo\n",
    )
    assert result.returncode == 19
    note, error = result.stderr.decode().splitlines()
    assert "0 rows saved in out.jsonl; --resume continues" in note
    assert error == MESSAGE


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "1e3", "soon", "2d", "", "1:30"])
def test_invalid_time(run_llmtool: Run, value: str) -> None:
    line = error_line(run_llmtool("gen", "Hi", f"--timeout={value}"), 2)
    assert f"--timeout '{value}': must be a time such as 90, 1.5 or 2m" in line


def test_expired_limit_cancels_later_work() -> None:
    interrupts = Interrupts()
    interrupts.start_timer(0.001)
    with pytest.raises(TimeoutExpired) as expired:
        while True:
            with interrupts.interruptible():
                pass
    assert expired.value.seconds == 0.001
    model = Cancellation()
    interrupts.attach(model)
    assert model.cancelled
    interrupts.clear()
    assert not model.cancelled
    with interrupts.interruptible():
        pass


def test_stopped_timer_does_not_expire() -> None:
    interrupts = Interrupts()
    interrupts.start_timer(1000)
    timer = interrupts._timer
    interrupts.stop_timer()
    assert timer is not None
    timer.join(10)
    assert interrupts.expired is None


class EndingStream(contextlib.AbstractContextManager[Any]):
    """A stream of a chat that the time limit ends after a token."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __iter__(self) -> Iterator[Token]:
        yield Token(0, 0, "Once")
        raise self._error

    def __exit__(self, *exc: object) -> None:
        pass


@pytest.mark.parametrize(
    "error", [Cancelled("stopped"), OutputError("cannot write to standard output")], ids=repr
)
def test_chat_reports_the_time_limit_of_a_reply(console: Console, error: Exception) -> None:
    console.interrupts.expired = TimeoutExpired("not finished after 1 s", seconds=1)
    with pytest.raises(TimeoutExpired, match="not finished after 1 s"):
        ReplyView(console).show(EndingStream(error))  # type: ignore[arg-type]
    assert console.interrupts.expired is None  # the next reply has its own limit
