"""The progress of a batch and of the model."""

from __future__ import annotations

import os
from typing import Any

import pytest

from llmtool.cli.terminal.console import WAITING, Console
from llmtool.cli.terminal.interrupts import Interrupts
from llmtool.cli.terminal.progress import ModelStatus, WorkProgress, describe_progress
from llmtool.engine.types import StreamProgress

CASES = {
    "at once": (describe_progress(3, 90, seconds=0.000005), "3 records"),
    "soon": (describe_progress(300, 900, seconds=0.5, n_failed=2), "300 records, 2 failed"),
    "none yet": (describe_progress(0, 9, seconds=4), "0 records"),
    "after a second": (describe_progress(1, 3, seconds=1), "1 record, 1.0/s, 0:02 left"),
    "no end known": (describe_progress(1200, None, seconds=10), "1,200 records, 120.0/s"),
    "gone on": (
        describe_progress(10, 80, seconds=2, n_before=40, n_failed=1),
        "50 records, 5.0/s, 1 failed, 0:06 left",
    ),
    "first tokens": (describe_progress(0, 60, seconds=3, n_tokens=300), "0 records, 300 tokens"),
    "least and greatest estimate": (
        describe_progress(5, 60, seconds=10, n_tokens=900, left=(20, 70)),
        "5 records, 0.5/s, 0:20 to 1:10 left",
    ),
    "no record done": (
        describe_progress(0, 60, seconds=3, n_tokens=300, left=(20, 70)),
        "0 records, 300 tokens, up to about 1:10 left",
    ),
    "similar estimates": (
        describe_progress(5, 60, seconds=10, left=(20, 22)),
        "5 records, 0.5/s, about 0:22 left",
    ),
    "more than expected": (describe_progress(20, 10, seconds=2), "20 records, 10.0/s"),
}


@pytest.mark.parametrize(("shown", "expected"), CASES.values(), ids=CASES)
def test_rate_is_shown_after_one_second(shown: str, expected: str) -> None:
    assert shown == expected


def test_plain_progress_is_a_line_every_30_seconds(capfd: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    console = Console(Interrupts(), clock=lambda: now)
    console.configure(progress="plain")
    for seconds in range(100):
        now = float(seconds)
        console.status(f"{seconds} records")
    console.status("")
    console.status("100 records", is_last=True)
    shown = ["30 records", "60 records", "90 records", "100 records"]
    assert capfd.readouterr().err == "".join(f"llmtool: {each}\n" for each in shown)


@pytest.mark.parametrize(
    "options", [{"progress": "none"}, {"progress": "plain", "quiet": True}, {}]
)
def test_no_progress_without_a_terminal(
    capfd: pytest.CaptureFixture[str], options: dict[str, Any]
) -> None:
    console = Console(Interrupts(), clock=lambda: 0.0)
    console.configure(**options)
    console.status("100 records", is_last=True)
    assert capfd.readouterr().err == ""


def reading(n_read: int, n_tokens: int, seconds: float, *, n: int = 1) -> StreamProgress:
    return StreamProgress(
        n_read=n_read, n_unread=n_tokens - n_read, read_seconds=seconds, n_requests=n
    )


WAITS = {
    "loading": (None, "loading model"),
    "idle": (StreamProgress(), ""),
    "first batch": (reading(0, 12000, 0), "reading the prompt: 0 of 12,000 tokens, 2 s"),
    "a prompt": (
        reading(3072, 12000, 10),
        "reading the prompt: 3,072 of 12,000 tokens, 307 tok/s, 0:29 to read",
    ),
    "prompts": (
        reading(512, 900, 2, n=2),
        "reading the prompts: 512 of 900 tokens, 256 tok/s, 0:01 to read",
    ),
    "replies": (
        StreamProgress(running=((20, 50), (30, 50)), finished={50: 3}, step_seconds=0.1),
        "generating: 200 tokens, 20 tok/s",
    ),
}


@pytest.mark.parametrize(("progress", "shown"), WAITS.values(), ids=WAITS)
def test_status_of_the_model_is_shown_after_two_seconds(
    progress: StreamProgress | None, shown: str
) -> None:
    now = 100.0
    status = ModelStatus(Console(Interrupts()), lambda: progress, clock=lambda: now)
    assert status() == ""
    now += 1.9
    assert status() == ""
    now += 0.1
    assert status() == shown


def test_status_of_a_load_shows_how_much_is_loaded() -> None:
    now = 0.0
    status = ModelStatus(Console(Interrupts()), lambda: None, clock=lambda: now)
    status()
    now = 3.0
    status.on_load(31, 100)
    assert status() == "loading model 31%"


def test_status_of_the_model_waits_only_before_the_first_text() -> None:
    now, progress = 0.0, reading(0, 10, 0)
    status = ModelStatus(Console(Interrupts()), lambda: progress, clock=lambda: now)
    status()
    now = 2.0
    assert status() == "reading the prompt: 0 of 10 tokens, 2 s"
    progress = StreamProgress(running=((1, 50),))
    assert status() == "generating: 1 token"
    progress = StreamProgress()
    assert status() == ""
    progress = StreamProgress(running=((1, 50),))
    assert status() == ""


def test_status_of_the_model_ends_with_the_first_token(capfd: pytest.CaptureFixture[str]) -> None:
    now, progress = 0.0, reading(5, 10, 1)
    console = Console(Interrupts())
    status = ModelStatus(console, lambda: progress, clock=lambda: now)
    assert status() == ""
    now = 60.0
    assert status() == "reading the prompt: 5 of 10 tokens, 5 tok/s, 0:01 to read"
    console.stdout.write("The\n")
    progress = StreamProgress(running=((1, 50),))
    now = 120.0
    assert (status(), status()) == ("", "")
    assert capfd.readouterr().out == "The\n"


@pytest.fixture
def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Console:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(os, "get_terminal_size", lambda fd: os.terminal_size((80, 24)))
    console = Console(Interrupts())
    console.stderr_is_terminal = console.stdout.is_terminal = True
    return console


def test_live_status_is_not_mixed_into_the_output(
    on_terminal: Console, capfd: pytest.CaptureFixture[str]
) -> None:
    with on_terminal.live_status(lambda: "busy"):
        on_terminal.tick()
        assert capfd.readouterr().err == "\r\x1b[Kbusy"
        on_terminal.stdout.write("half a line")
        assert capfd.readouterr() == ("half a line", "\r\x1b[K")
        on_terminal.tick()
        assert capfd.readouterr().err == ""
        on_terminal.stdout.write("\n")
        on_terminal.tick()
        assert capfd.readouterr().err == "\r\x1b[Kbusy"
    assert capfd.readouterr().err == "\r\x1b[K"


def test_other_status_takes_precedence_over_a_live_status(
    on_terminal: Console, capfd: pytest.CaptureFixture[str]
) -> None:
    with on_terminal.live_status(lambda: "busy"):
        on_terminal.status("3 of 9 segments")
        on_terminal.tick()
        assert capfd.readouterr().err == "\r\x1b[K3 of 9 segments"
        on_terminal.status(WAITING)
        on_terminal.tick()
        assert capfd.readouterr().err == "\r\x1b[K...\r\x1b[Kbusy"


def test_live_status_is_logged_with_plain_progress(capfd: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    console = Console(Interrupts(), clock=lambda: now)
    console.configure(progress="plain")
    with console.live_status(lambda: "reading the prompt"):
        console.tick()
        now = 30.0
        console.tick()
        console.tick()
    assert capfd.readouterr().err == "llmtool: reading the prompt\n"


def test_time_left_of_a_document_also_passes_between_its_parts() -> None:
    now = 0.0
    progress = WorkProgress("segments", name="a.md", clock=lambda: now)
    progress.update(0, 40)
    assert progress() == ""
    now = 10.0
    progress.update(10, 40)
    assert progress() == "a.md: 10 of 40 segments, 0:30 left"
    now = 15.0
    progress.update(10, 40)
    assert progress() == "a.md: 10 of 40 segments, 0:25 left"
    now = 60.0
    assert progress() == "a.md: 10 of 40 segments"
    progress.update(40, 40)
    assert progress() == ""


def test_live_status_without_a_text_shows_that_of_the_block_around_it(
    on_terminal: Console, capfd: pytest.CaptureFixture[str]
) -> None:
    text = ""
    with on_terminal.live_status(lambda: "generating"):
        with on_terminal.live_status(lambda: text):
            on_terminal.tick()
            assert capfd.readouterr().err == "\r\x1b[Kgenerating"
            text = "1 of 3 segments"
            on_terminal.tick()
            assert capfd.readouterr().err == "\r\x1b[K1 of 3 segments"
        capfd.readouterr()
        on_terminal.tick()
        assert capfd.readouterr().err == "\r\x1b[Kgenerating"
