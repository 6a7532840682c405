"""Text and results on a terminal."""

from __future__ import annotations

import os
import signal
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmtool.cancellation import Cancellation
from llmtool.cli.render import tables
from llmtool.cli.terminal import console
from llmtool.cli.terminal.console import Console
from llmtool.cli.terminal.interrupts import Interrupts
from llmtool.cli.terminal.text import escape_control_chars
from llmtool.errors import Cancelled


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\n\ttext", "plain\n\ttext"),
        ("\x1b[31mred", "\u241b[31mred"),
        ("\x1b]0;title\x07", "\u241b]0;title\u2407"),
        ("a\x9b31m", "a<U+009B>31m"),
        ("\u202egnp.exe", "<U+202E>gnp.exe"),
        ("\x7f\x00\x08", "\u2421\u2400\u2408"),
        ("a\u200bb\ufeff\U000e0041", "a<U+200B>b<U+FEFF><U+E0041>"),
        ("می\u200cخواهم 👩\u200d🚀", "می\u200cخواهم 👩\u200d🚀"),
        ("漢字 🙂 é", "漢字 🙂 é"),
    ],
    ids=["plain", "colour", "title", "c1", "bidi", "delete", "invisible", "joiners", "wide"],
)
def test_control_characters_are_escaped(text: str, shown: str) -> None:
    assert escape_control_chars(text) == shown


def test_rendered_text_keeps_only_our_sequences(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[bytes] = []
    stdout = console.Stdout(console.StatusLine(), Interrupts(), is_terminal=True)
    monkeypatch.setattr(stdout, "_write_bytes", written.append)
    stdout.write_raw("\r\x1b[K\x1b[1;31mname\x1b[0m\x1b]52;c;aGk=\x07\x1b[6n\x1b[?1049h\x9b1m")
    shown = "\r\x1b[K\x1b[1;31mname\x1b[0m\u241b]52;c;aGk=\u2407\u241b[6n\u241b[?1049h<U+009B>1m"
    assert b"".join(written).decode() == shown


def test_table_escapes_names_and_values(monkeypatch: pytest.MonkeyPatch, console: Console) -> None:
    written: list[bytes] = []
    monkeypatch.setattr(console.stdout, "is_terminal", True)
    monkeypatch.setattr(console.stdout, "_write_bytes", written.append)
    tables.fields(console, [("a\x1b[31m", "b\x1b[32m")])
    tables.table(console, ["name"], [["c\x1b[33m"]])
    shown = b"".join(written).decode()
    assert all(f"{name}\u241b[3" in shown for name in "abc") and "\x1b[3" not in shown


def test_crlf_split_across_writes_is_one_line_end(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[bytes] = []
    stdout = console.Stdout(console.StatusLine(), Interrupts(), is_terminal=True)
    monkeypatch.setattr(stdout, "_write_bytes", written.append)
    for piece in ("a\r", "\nb\r", "c\r"):
        stdout.write(piece)
    stdout.end_line()
    assert b"".join(written).decode() == "a\nb\u240dc\u240d\n"


def test_pipe_gets_whole_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[bytes] = []
    stdout = console.Stdout(console.StatusLine(), Interrupts(), is_terminal=False)
    monkeypatch.setattr(stdout, "_write_bytes", written.append)
    for piece in ("one", " two\nthr", "ee\n\nfour", "x" * 4096, "five"):
        stdout.write(piece)
    assert written == [b"one two\n", b"three\n\n", b"four" + b"x" * 4096]
    stdout.flush()
    assert written[3:] == [b"five"]


def test_incomplete_line_precedes_a_message(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = os.open(tmp_path / "both", os.O_CREAT | os.O_RDWR)
    monkeypatch.setattr(console, "STDOUT", file)
    monkeypatch.setattr(console, "STDERR", file)
    both = console.Console(Interrupts())
    both.stdout.write("half a line")
    both.say("\nmessage\nrea")
    both.say("soning")
    assert (tmp_path / "both").read_bytes() == b"half a line\nmessage\n"
    both.flush_quietly()
    os.close(file)
    assert (tmp_path / "both").read_bytes() == b"half a line\nmessage\nreasoning"


def test_incomplete_line_is_written_after_a_signal(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = os.open(tmp_path / "reply", os.O_CREAT | os.O_RDWR)
    monkeypatch.setattr(console, "STDOUT", file)
    interrupts = Interrupts()
    stdout = console.Stdout(console.StatusLine(), interrupts, is_terminal=False)
    stdout.write("one\ntwo of")
    cancellation = Cancellation()
    interrupts.attach(cancellation)
    cancellation.cancel(signal.SIGINT)
    with pytest.raises(Cancelled):
        stdout.write(" three\nfour")
    stdout.break_line()
    stdout.break_line()
    os.close(file)
    assert (tmp_path / "reply").read_bytes() == b"one\ntwo of three\nfour\n"


def check_shown(text: str) -> None:
    shown = escape_control_chars(text)
    left = {char for char in shown if unicodedata.category(char) == "Cc"}
    assert left <= {"\n", "\t"}
    assert not any(unicodedata.bidirectional(char) in BIDI for char in shown)
    assert escape_control_chars(shown) == shown


BIDI = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
HOSTILE = st.text(
    st.sampled_from("\x1b[]0;31m\x07\x9b\x9d\u202e\u2066\r\n\t a\x7f\x00") | st.characters()
)


@given(HOSTILE)
def test_any_text_is_safe_on_a_terminal(text: str) -> None:
    check_shown(text)


@pytest.mark.long
@pytest.mark.timeout(1800)
@settings(max_examples=100_000, deadline=None)
@given(HOSTILE)
def test_any_text_is_safe_on_a_terminal_long(text: str) -> None:
    check_shown(text)
