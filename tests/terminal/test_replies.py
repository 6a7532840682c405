"""Replies on a terminal: samples, highlighted unlikely words, validation errors."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import LLMTOOL
from terminal.screen import Terminal

PROMPT = "The river rose during the night"
STYLE = re.compile(r"\x1b\[([0-9;]*)m")
MARKS = re.compile("[«»‹›]")


@pytest.fixture
def gen(env: dict[str, str], tiny_model: Callable[..., Path]) -> Callable[..., Terminal]:
    def start(*args: str | Path, columns: int = 1000, **options: Any) -> Terminal:
        model = tiny_model("plain", printable=True)
        command = [*LLMTOOL, "gen", "-m", model, "--threads", "1", "--seed", "7", "--no-cache"]
        command += ["--progress", "none", "--max-tokens", "20", *args, PROMPT]
        return Terminal(command, env, columns=columns, **options)

    return start


def output(terminal: Terminal) -> str:
    terminal.wait()
    return terminal.raw.decode().replace("\r", "")


def test_samples_are_printed_in_order(gen: Callable[..., Terminal], tmp_path: Path) -> None:
    file = tmp_path / "out"
    options = ("-n", "3", "-q", "--temperature", "1.5")
    with gen(*options, "--no-stream", stdout=file) as terminal:
        assert terminal.exit_status == 0
    with gen(*options) as terminal:
        assert output(terminal) == file.read_text()
        assert file.read_text().count("---\n") == 2


def test_streamed_words_are_whole_on_a_terminal_and_unchanged_in_a_file(
    gen: Callable[..., Terminal], tmp_path: Path
) -> None:
    file = tmp_path / "out"
    options = ("-q", "--max-tokens", "60", "--temperature", "1.5")
    with gen(*options, stdout=file) as terminal:
        assert terminal.exit_status == 0
    text = file.read_text()
    with gen(*options, columns=30) as terminal:
        assert output(terminal).count("\n") == text.count("\n")
        rows = terminal.screen()
    assert any(len(line) > 30 for line in text.splitlines())
    words = {word for word in text.split() if len(word) <= 30}
    shown = {word for row in rows for word in row.split()}
    assert words <= shown


def test_unlikely_words_are_coloured_with_a_legend(
    gen: Callable[..., Terminal],
) -> None:
    with gen("-q") as plain, gen("--logprobs", "1") as marked:
        text, shown = output(plain), output(marked)
    assert STYLE.sub("", shown).startswith(text)
    assert {"33", "4;31"} & set(STYLE.findall(shown))
    assert not MARKS.search(shown)
    legend = "underlined red below 5%, yellow below 25%; this measures fluency, not truth"
    assert legend in " ".join(shown.split())


def test_unlikely_words_are_bracketed_without_colour(
    gen: Callable[..., Terminal],
) -> None:
    with gen("-q") as plain, gen("--logprobs", "1", "--color", "never") as marked:
        text, shown = output(plain), output(marked)
    assert not STYLE.search(shown) and MARKS.search(shown)
    assert MARKS.sub("", shown).startswith(text)
    legend = "«below 5%», ‹below 25%›; this measures fluency, not truth"
    assert legend in " ".join(shown.split())


@pytest.mark.parametrize("args", [["--no-stream"], ["-n", "2"], ["--stop", "e"]], ids=" ".join)
def test_highlighting_does_not_change_the_text(
    gen: Callable[..., Terminal], args: list[str]
) -> None:
    with gen(*args, "-q") as plain, gen(*args, "-q", "--logprobs", "1") as marked:
        text, shown = output(plain), output(marked)
    assert STYLE.sub("", shown).startswith(text)


def test_validation_error_follows_the_streamed_reply(gen: Callable[..., Terminal]) -> None:
    with gen("--schema", "name, tags list", "--max-tokens", "4") as terminal:
        assert terminal.exit_status == 17
        shown, error, rest = output(terminal).rpartition("\nllmtool: reply truncated at 4 tokens")
        assert shown.lstrip().startswith("{") and error and rest.count("\n") == 1
