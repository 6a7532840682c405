"""Commands show what they do while the user waits, on stderr."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmtool.cli.terminal import console as console_module
from llmtool.cli.terminal import progress as progress_module
from llmtool.cli.terminal.console import Console
from llmtool.cli.terminal.progress import ModelStatus
from llmtool.engine.llama.context import Context

TEXT = "The river is long and the hill is high. " * 60
COMMANDS = {
    "loading": (("gen", "hi", "--no-stdin"), "loading model 100%"),
    "a long prompt": (("gen", "-f", "in.txt"), "reading the prompt: "),
    "a long prompt of a template": (("run", "title", "-f", "in.txt"), "reading the prompt: "),
    "a long text for labels": (("classify", "-l", "a,b", "-f", "in.txt"), "reading the prompt: "),
    "a reply as JSON": (("gen", "hi", "--json", "--no-stdin"), "generating: "),
    "a constrained reply": (("gen", "hi", "--regex", "a{20}", "--no-stdin"), "generating: "),
    "code": (("code", "sort a list", "--no-stdin"), "generating: "),
    "code in a file": (("code", "sort a list", "-o", "out.py", "--no-stdin"), "generating: "),
    "an explanation": (("code", "explain", "in.py"), "reading the prompt: "),
    "translate -f": (
        ("translate", "--to", "fr", "-f", "in.md", "--parallel", "1"),
        "1 of 3 segments, ",
    ),
    "sum": (("sum", "in.txt"), "reading the prompt"),
    "a batch": (("gen", "--each", "line", "-f", "lines.txt"), "0 records, "),
}


@pytest.fixture
def statuses(
    monkeypatch: pytest.MonkeyPatch, run_llmtool: Callable[..., Any], tiny_model: Any, cwd: Path
) -> Callable[..., list[str]]:
    """Return `statuses(*args)`: what a command shows after each step, without waiting first."""
    monkeypatch.setattr(console_module, "_PLAIN_SECONDS", 0)
    monkeypatch.setattr(progress_module, "_WAIT_SECONDS", 0)
    running: list[Console] = []
    live_status, decode, on_load = Console.live_status, Context.decode, ModelStatus.on_load

    def watch(self: Console, describe: Callable[[], str]) -> Any:
        running.append(self)
        return live_status(self, describe)

    def tick() -> None:
        for console in running[-1:]:
            console.tick()

    def decode_step(self: Context, *args: Any, **options: Any) -> Any:
        tick()
        done = decode(self, *args, **options)
        tick()
        return done

    def load_step(self: ModelStatus, done: float, total: float) -> None:
        on_load(self, done, total)
        tick()

    monkeypatch.setattr(Console, "live_status", watch)
    monkeypatch.setattr(Context, "decode", decode_step)
    monkeypatch.setattr(ModelStatus, "on_load", load_step)
    (cwd / "in.txt").write_text(TEXT)
    (cwd / "in.py").write_text("x = 1\n" * 400)
    (cwd / "in.md").write_text("# The river\n\nThe hill is high.\n\nThe lake is deep.\n")
    (cwd / "lines.txt").write_text("one\ntwo\nthree\n")
    model = tiny_model("plain", n_ctx=4096, printable=True)

    def run(*args: str, progress: str = "plain") -> list[str]:
        limit = () if args[0] == "classify" else ("--max-tokens", "30")
        done = run_llmtool(*args, "-m", model, "--progress", progress, *limit)
        return [line.removeprefix("llmtool: ") for line in done.stderr.decode().splitlines()]

    return run


@pytest.mark.parametrize(("args", "shown"), COMMANDS.values(), ids=COMMANDS)
def test_command_shows_its_progress(
    statuses: Callable[..., list[str]], args: tuple[str, ...], shown: str
) -> None:
    lines = statuses(*args)
    assert any(shown in line for line in lines), lines


def test_reply_in_a_pipe_is_counted_to_its_end(statuses: Callable[..., list[str]]) -> None:
    args = ("gen", "hi", "--temperature", "0", "--no-stdin")
    counts = [line.split()[1] for line in statuses(*args) if line.startswith("generating: ")]
    assert int(counts[-1]) > 20


@pytest.mark.parametrize("progress", ["none", "auto"])
def test_command_shows_no_progress_in_a_pipe_unless_it_is_requested(
    statuses: Callable[..., list[str]], progress: str
) -> None:
    assert not [line for line in statuses("gen", "-f", "in.txt", progress=progress) if "%" in line]
