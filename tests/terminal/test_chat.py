"""`llmtool chat` at a terminal."""

from __future__ import annotations

import os
import signal
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from command import INFINITE, LLMTOOL
from terminal.screen import Terminal
from terminal.talk import LONG, PASTE_OFF, PASTE_ON, Start, say, wait_for_prompt

from llmtool.sessions.store import Sessions
from llmtool.sessions.types import Session, Turn


def test_a_conversation(chat: Start, sessions: Sessions) -> None:
    with chat(["Hello, I am here.", "Still here."]) as terminal:
        wait_for_prompt(terminal)
        say(terminal, "Hi", "Hello, I am here.", 2)
        say(terminal, "And now?", "Still here.", 3)
        terminal.send("\x04")
        assert terminal.exit_status == 0
    assert [turn.user for turn in sessions.load("work").turns] == ["Hi", "And now?"]


def test_the_status_line_shows_model_and_tokens(chat: Start) -> None:
    with chat("one two three") as terminal:
        wait_for_prompt(terminal)
        say(terminal, "Hi", "one two three", 2)
        terminal.wait_for("scripted · 5/4,096 tokens")


@pytest.mark.parametrize("columns", [20, 7, 200])
def test_any_width_works(chat: Start, columns: int, sessions: Sessions) -> None:
    with chat("# Hi\n\n- a **bold** item of several words\n\n```py\nx = 1\n```\n字字字字字字字",
              columns=columns) as terminal:  # fmt: skip
        wait_for_prompt(terminal)
        terminal.send("x\r")
        wait_for_prompt(terminal, 2)
        terminal.send("\x04")
        assert terminal.exit_status == 0
    assert len(sessions.load("work").turns) == 1


def test_markdown_is_drawn(chat: Start) -> None:
    reply = "# Title\n\nSome **bold** text.\n\n- one\n- two\n\n```python\nx = 1\n```\n"
    with chat(reply) as terminal:
        wait_for_prompt(terminal)
        say(terminal, "x", "• two", 2)
        rows = terminal.screen()
        start = rows.index("> x") + 1
        assert rows[start : start + 10] == [
            "Title", "", "Some bold text.", "", "• one", "• two", "", "```python", "x = 1", "```",
        ]  # fmt: skip
        assert b"\x1b[" in terminal.raw


def test_wide_table_cells_wrap(chat: Start) -> None:
    sentence = "这是一个很长的没有空格的中文句子" * 3 + "尾"
    table = f"| 名称 | 说明 |\n|---|---|\n| 甲 | {sentence} |\n\nDone."
    with chat(table, columns=40) as terminal:
        wait_for_prompt(terminal)
        say(terminal, "Hi", "Done.", 2)
        shown = "".join(terminal.screen()).replace(" ", "")
    assert sentence in shown.replace("甲", "")
    assert "…" not in shown


def test_an_attachment_that_is_too_long_can_be_removed(chat: Start, tmp_path: Path) -> None:
    (tmp_path / "long.txt").write_text("many words " * 500)
    with chat("fine", n_ctx=300) as terminal:
        wait_for_prompt(terminal)
        say(terminal, "/read long.txt", "to your next message", 2)
        say(terminal, "Hi", "/read - removes the files", 3)
        say(terminal, "/read -", "removed 1 attached file", 4)
        say(terminal, "Hi", "fine", 5)


def test_a_long_reply_is_complete_in_the_scrollback(chat: Start) -> None:
    reply = "\n".join(f"line {i}" for i in range(60))
    with chat(reply, lines=10) as terminal:
        wait_for_prompt(terminal)
        say(terminal, "x", "line 59", 2)
        text = terminal.raw.decode()
        assert all(f"line {i}" in text for i in range(60))


def test_no_color_means_no_colour(chat: Start) -> None:
    with chat("# Hi\n\n```py\nx = 1\n```", variables={"NO_COLOR": "1"}) as terminal:
        wait_for_prompt(terminal)
        say(terminal, "x", "x = 1", 2)
        colours = [b"\x1b[3%dm" % n for n in range(8)] + [b"\x1b[38;5;", b"\x1b[9"]
        assert not any(colour in terminal.raw for colour in colours)


def test_a_dumb_terminal_gets_plain_text(chat: Start) -> None:
    with chat(["**one**", "two"], variables={"TERM": "dumb"}) as terminal:
        terminal.wait_for("> ")
        terminal.send("a\n")
        terminal.wait_for("**one**")
        terminal.send("/undo\n")
        terminal.wait_for("removed turn 1")
        terminal.send("/exit\n")
        assert terminal.exit_status == 0
        assert b"\x1b" not in terminal.raw


def test_control_sequences_are_escaped(chat: Start) -> None:
    with chat("a\x1b[2Jb \x1b]0;title\x07 \x9b31m c\u202ed") as terminal:
        wait_for_prompt(terminal)
        say(terminal, "x", "␛[2Jb", 2)
        assert b"\x1b[2J" not in terminal.raw.split(b"> x")[-1]
        assert b"\x1b]0;" not in terminal.raw


def test_markup_of_the_drawing_library_is_literal(chat: Start, sessions: Sessions) -> None:
    said = "[red]x[/red] :smile: [bold and [link=here]y[/link] [/]"
    with chat([said, f"- {said}\n"]) as terminal:
        wait_for_prompt(terminal)
        say(terminal, said, said, 2)
        assert said in terminal.screen()
        say(terminal, "again", f"• {said}", 3)
        terminal.send("\x04")
        assert terminal.exit_status == 0
    assert sessions.load("work").turns[0].text == said


def test_reasoning_is_folded(chat: Start) -> None:
    with chat("<think>secret plan</think>The answer.", thinks=True) as terminal:
        wait_for_prompt(terminal)
        say(terminal, "x", "The answer.", 2)
        assert "secret plan" not in "\n".join(terminal.screen())
        terminal.wait_for("thought for")
        say(terminal, "/reasoning", "secret plan", 3)


class TestStopping:
    def test_ctrl_c_stops_the_reply_and_saves_the_text_so_far(
        self, chat: Start, sessions: Sessions
    ) -> None:
        with chat([LONG, "short"], delay=0.02) as terminal:
            wait_for_prompt(terminal)
            terminal.send("go\r")
            terminal.wait_for("word5")
            terminal.send("\x03")
            began = time.monotonic()
            terminal.wait_for("stopped")
            assert time.monotonic() - began < 2  # 0.3 s are shown in benchmarks, not here
            wait_for_prompt(terminal, 2)
            turn = sessions.load("work").turns[0]
            assert turn.text.startswith("word0 word1") and "word399" not in turn.text
            say(terminal, "on", "short", 3)

    def test_repeated_ctrl_c_does_not_end_the_session(self, chat: Start) -> None:
        with chat([LONG, "short"], delay=0.02) as terminal:
            wait_for_prompt(terminal)
            terminal.send("go\r")
            terminal.wait_for("word5")
            for _ in range(4):
                terminal.send("\x03")
            terminal.wait_for("stopped")
            wait_for_prompt(terminal, 2)
            terminal.send("\x03\x03")
            wait_for_prompt(terminal, 3)
            say(terminal, "on", "short", 4)

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=["TERM", "HUP"])
    @pytest.mark.parametrize("moment", ["reply", "prompt"])
    def test_a_signal_ends_the_process_and_the_session_is_saved(
        self, chat: Start, sessions: Sessions, number: signal.Signals, moment: str
    ) -> None:
        with chat([LONG], delay=0.02) as terminal:
            wait_for_prompt(terminal)
            if moment == "reply":
                terminal.send("go\r")
                terminal.wait_for("word9")
            terminal.signal(number)
            assert terminal.exit_status == 128 + number
        if moment == "reply":
            assert sessions.load("work").turns[0].text.startswith("word0 word1")

    def test_a_killed_process_loses_only_the_unfinished_reply(
        self, chat: Start, sessions: Sessions
    ) -> None:
        with chat(["first", LONG], delay=0.02) as terminal:
            wait_for_prompt(terminal)
            say(terminal, "a", "first", 2)
            terminal.send("b\r")
            terminal.wait_for("word5")
            terminal.signal(signal.SIGKILL)
            assert terminal.exit_status == 128 + signal.SIGKILL
        assert [(t.user, t.text) for t in sessions.load("work").turns] == [
            ("a", "first"),
            ("b", ""),
        ]
        with chat(["again"]) as terminal:
            terminal.wait_for("no reply; /retry generates one")
            wait_for_prompt(terminal)
            say(terminal, "/retry", "again", 2)

    def test_keys_typed_during_a_reply_go_to_the_next_line(self, chat: Start) -> None:
        with chat([" ".join(["w"] * 40), "second"], delay=0.03) as terminal:
            wait_for_prompt(terminal)
            terminal.send("go\r")
            terminal.wait_for("w w w")
            assert terminal.raw.rfind(PASTE_ON) > terminal.raw.rfind(PASTE_OFF)
            terminal.send("typed ahead\r")
            terminal.wait_for("second")
            text = "\n".join(terminal.screen())
            assert "> typed ahead" in text
            assert "w typed" not in text

    def test_ctrl_d_during_a_reply_ends_the_chat_after_it(self, chat: Start) -> None:
        with chat([" ".join(["w"] * 20) + " end"], delay=0.02) as terminal:
            wait_for_prompt(terminal)
            terminal.send("go\r")
            terminal.wait_for("w w w")
            terminal.send("\x04")
            assert terminal.exit_status == 0
            assert "end" in "\n".join(terminal.screen())

    def test_text_pasted_during_a_reply_is_one_message(
        self, chat: Start, sessions: Sessions
    ) -> None:
        with chat([LONG, " ".join(["w"] * 40), "second"], delay=0.02) as terminal:
            wait_for_prompt(terminal)
            terminal.send("go\r")
            terminal.wait_for("word5")
            terminal.send("discarded\r/exit\r\x03")
            wait_for_prompt(terminal, 2)
            terminal.send("on\r")
            terminal.wait_for("w w w")
            terminal.send("\x1b[200~one\r/exit\r\x1b[201~")
            wait_for_prompt(terminal, 3)
            terminal.send("\r")
            wait_for_prompt(terminal, 4)
        turns = sessions.load("work").turns
        assert [turn.user for turn in turns] == ["go", "on", "one\n/exit\n"]


class TestCommands:
    def test_an_unknown_command_suggests_a_similar_one(self, chat: Start) -> None:
        with chat() as terminal:
            wait_for_prompt(terminal)
            say(terminal, "/rety", "did you mean '/retry'?", 2)

    def test_a_leading_space_makes_a_slash_a_message(self, chat: Start, sessions: Sessions) -> None:
        with chat("answered") as terminal:
            wait_for_prompt(terminal)
            say(terminal, " /etc/hosts?", "answered", 2)
        assert sessions.load("work").turns[0].user == " /etc/hosts?"

    def test_help_lists_all_and_explains_one(self, chat: Start) -> None:
        with chat(lines=60) as terminal:
            wait_for_prompt(terminal)
            say(terminal, "/help", "/export md|json|html", 2)
            say(terminal, "/help retry", "Generate the last reply again.", 3)

    def test_tab_completes_commands(self, chat: Start) -> None:
        with chat("one two") as terminal:
            wait_for_prompt(terminal)
            terminal.send("/tok\t\r")  # before the menu can open
            terminal.wait_for("reserved for the reply")

    def test_tab_completes_names_and_files(
        self, chat: Start, sessions: Sessions, tmp_path: Path
    ) -> None:
        (tmp_path / "notes.txt").write_text("Boats are red.\n")
        with chat("kept", session="harbour") as terminal:
            wait_for_prompt(terminal)
            say(terminal, "a", "kept", 2)
            terminal.send("\x04")
            assert terminal.exit_status == 0
        with chat("fine") as terminal:
            wait_for_prompt(terminal)
            say(terminal, "/read no\t", "notes.txt (1 line)", 2)
            say(terminal, "/set", "max_tokens          what fits (default)", 3)
            say(terminal, "/set temper\t 0.5", "temperature: 0.5 (session)", 4)
            say(terminal, "/template ge\t", "template: gen", 5)
            say(terminal, "/load harb\t", "session 'harbour'", 6)

    def test_undo_prefills_the_next_line(self, chat: Start, sessions: Sessions) -> None:
        with chat(["one", "two"]) as terminal:
            wait_for_prompt(terminal)
            say(terminal, "first try", "one", 2)
            terminal.send("/undo\r")
            wait_for_prompt(terminal, 3)
            terminal.send(" better\r")
            terminal.wait_for("two")
            wait_for_prompt(terminal, 4)
        assert [turn.user for turn in sessions.load("work").turns] == ["first try better"]

    def test_retry_and_fork(self, chat: Start, sessions: Sessions) -> None:
        with chat(["one", "two", "three"]) as terminal:
            wait_for_prompt(terminal)
            say(terminal, "a", "one", 2)
            say(terminal, "/fork other", "continuing as 'other'", 3)
            say(terminal, "/retry", "two", 4)
        assert sessions.load("work").turns[0].text == "one"
        assert sessions.load("other").turns[0].text == "two"

    def test_fork_of_an_unsaved_chat_says_that_nothing_is_saved(self, chat: Start) -> None:
        with chat(["one"], keeps=False) as terminal:
            wait_for_prompt(terminal)
            say(terminal, "a", "one", 2)
            say(terminal, "/fork other", "continuing as 'other'; not saved yet", 3)
            assert "is unchanged" not in "".join(terminal.screen())

    def test_edit_opens_the_editor_and_saves_a_copy(
        self, chat: Start, sessions: Sessions, tmp_path: Path
    ) -> None:
        editor = tmp_path / "editor"
        editor.write_text('#!/bin/sh\necho "in other words" > "$1"\n')
        editor.chmod(0o755)
        with chat(["one", "two", "three"], variables={"EDITOR": str(editor)}) as terminal:
            wait_for_prompt(terminal)
            say(terminal, "a", "one", 2)
            say(terminal, "b", "two", 3)
            say(terminal, "/edit 1", "three", 4)
        assert [t.user for t in sessions.load("work").turns] == ["in other words"]
        assert [t.user for t in sessions.load("work-before").turns] == ["a", "b"]

    def test_edit_to_an_empty_message_changes_nothing(
        self, chat: Start, sessions: Sessions, tmp_path: Path
    ) -> None:
        editor = tmp_path / "editor"
        editor.write_text('#!/bin/sh\n: > "$1"\n')
        editor.chmod(0o755)
        with chat(["one", "two"], variables={"EDITOR": str(editor)}) as terminal:
            wait_for_prompt(terminal)
            say(terminal, "a", "one", 2)
            say(terminal, "b", "two", 3)
            say(terminal, "/edit 1", "the message is empty", 4)
        assert sessions.names() == ["work"]
        assert [t.user for t in sessions.load("work").turns] == ["a", "b"]

    def test_read_attaches_a_file(self, chat: Start, sessions: Sessions, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").write_text("Boats are red.\n")
        with chat("so they are") as terminal:
            wait_for_prompt(terminal)
            say(terminal, "/read none.txt", "no such file", 2)
            say(terminal, "/read notes.txt", "to your next message", 3)
            say(terminal, "What colour?", "so they are", 4)
        assert sessions.load("work").turns[0].files[0].text == "Boats are red.\n"

    def test_set_changes_options(self, chat: Start, sessions: Sessions) -> None:
        with chat() as terminal:
            wait_for_prompt(terminal)
            say(terminal, "/set temperature hot", "must be a number", 2)
            say(terminal, "/set temperatur 1", "did you mean 'temperature'?", 3)
            terminal.send("/set temperature 0.5\r")
            wait_for_prompt(terminal, 4)
            say(terminal, "x", "fine", 5)
        assert sessions.load("work").options == {"temperature": 0.5}

    def test_set_shows_values_and_their_sources(self, chat: Start) -> None:
        with chat() as terminal:
            wait_for_prompt(terminal)
            say(terminal, "/set", "temperature         0.7 (template)", 2)
            rows = [row.split(maxsplit=1) for row in terminal.screen()]
            assert ["top_k", "40 (default)"] in rows and ["seed", "random (default)"] in rows
            say(terminal, "/set temperature 0.2", "temperature: 0.2 (session)", 3)
            say(terminal, "/set temperature", "temperature  0.2 (session)", 4)
            say(terminal, "/set temperature default", "temperature: 0.7 (template)", 5)

    @pytest.mark.parametrize("keeps", [True, False], ids=["saved", "unsaved"])
    def test_search_finds_this_and_other_conversations(
        self, chat: Start, sessions: Sessions, keeps: bool
    ) -> None:
        sessions.save(Session(name="old", turns=(Turn(user="Where do herons nest?"),)))
        with chat("Herons nest in trees.", keeps=keeps) as terminal:
            wait_for_prompt(terminal)
            say(terminal, "hello", "in trees", 2)
            say(terminal, "/search nest herons", "/load NAME opens another", 3)
            rows = terminal.screen()
            assert any(row.startswith("old  turn 1, message") for row in rows)
            assert any(row.startswith("work  turn 1, reply") for row in rows)
            say(terminal, "/search kingfisher", "no matches", 4)

    def test_load_opens_another_session(self, chat: Start, sessions: Sessions) -> None:
        with chat(["kept reply"], session="old") as terminal:
            wait_for_prompt(terminal)
            say(terminal, "a", "kept reply", 2)
            terminal.send("/exit\r")
            assert terminal.exit_status == 0
        with chat(["new reply"], session="new") as terminal:
            wait_for_prompt(terminal)
            say(terminal, "b", "new reply", 2)
            say(terminal, "/load old", "kept reply", 3)
            say(terminal, "/load odl", "did you mean 'old'?", 4)

    def test_model_switches_the_model(self, chat: Start, sessions: Sessions) -> None:
        with chat("fine") as terminal:
            wait_for_prompt(terminal)
            say(terminal, "/model missing", "model 'missing' not found", 2)
            say(terminal, "a", "fine", 3)
            say(terminal, "/model other", "switched to other", 4)
            say(terminal, "b", "other · 7/4,096 tokens", 5)
        assert [turn.model for turn in sessions.load("work").turns] == ["scripted", "other"]

    def test_save_renames_a_session(self, chat: Start, sessions: Sessions) -> None:
        with chat(session="2026-01-01-1200") as terminal:
            wait_for_prompt(terminal)
            say(terminal, "a", "fine", 2)
            say(terminal, "/save trip", "saved as 'trip'", 3)
        assert sessions.names() == ["trip"]

    @pytest.mark.parametrize("kind", ["md", "json", "html"])
    def test_export_writes_a_file(self, chat: Start, tmp_path: Path, kind: str) -> None:
        with chat("fine words") as terminal:
            wait_for_prompt(terminal)
            say(terminal, "a", "fine words", 2)
            say(terminal, f"/export {kind}", f"saved to work.{kind}", 3)
            say(terminal, f"/export {kind}", "already exists", 4)
            say(terminal, f"/export {kind} none/x.{kind}", "folder none not found", 5)
        assert not (tmp_path / "none").exists()
        assert "fine words" in (tmp_path / f"work.{kind}").read_text()


def test_several_lines_are_one_message(chat: Start, sessions: Sessions) -> None:
    with chat() as terminal:
        wait_for_prompt(terminal)
        terminal.send('"""\rone\rtwo"""\r')
        terminal.wait_for("fine")
        wait_for_prompt(terminal, 2)
        terminal.send("three\x1b\rfour\r")
        wait_for_prompt(terminal, 3)
    assert [turn.user for turn in sessions.load("work").turns] == ["one\ntwo", "three\nfour"]


def test_history_lasts_and_is_private(chat: Start, tmp_path: Path) -> None:
    with chat() as terminal:
        wait_for_prompt(terminal)
        say(terminal, "remember me", "fine", 2)
        terminal.send("\x04")
        assert terminal.exit_status == 0
    history = tmp_path / "data" / "chat_history"
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
    with chat(session="other") as terminal:
        wait_for_prompt(terminal)
        terminal.send("\x1b[A")
        terminal.wait_until(lambda: "> remember me" in terminal.screen(), what="old line")


def test_save_accepts_the_sessions_own_name(chat: Start, sessions: Sessions) -> None:
    name = "2026-11-26-1040"  # the default name of a session
    with chat("fine", session=name) as terminal:
        wait_for_prompt(terminal)
        say(terminal, "Hi", "fine", 2)
        say(terminal, f"/save {name}", f"saved as '{name}'", 3)
        assert "another process" not in terminal.raw.decode()
    assert sessions.names() == [name]


def test_the_chat_continues_when_nothing_can_be_written(chat: Start, tmp_path: Path) -> None:
    with chat(["one reply", "another"]) as terminal:
        wait_for_prompt(terminal)
        data = tmp_path / "data"
        for name in ("sessions", "chat_history"):  # no file is writable
            (data / name).rename(data / f"{name}-away")
        (data / "sessions").write_text("in the way")
        (data / "chat_history").mkdir()
        say(terminal, "Hi", "this turn is not saved", 2)
        say(terminal, "And now?", "another", 3)
        shown = "\n".join(terminal.screen())
        assert shown.count("one reply") == 1
        assert "one replyllmtool" not in terminal.raw.decode()
        terminal.send("\x04")
        terminal.wait_for("not saved:")
        assert "saved as" not in terminal.raw.decode()
        assert terminal.exit_status == 1
    assert b"Press ENTER" not in terminal.raw


def test_an_unsaved_chat_writes_no_text_to_disk(chat: Start, tmp_path: Path) -> None:
    with chat(keeps=False) as terminal:
        wait_for_prompt(terminal)
        say(terminal, "secret", "fine", 2)
        terminal.send("\x04")
        assert terminal.exit_status == 0
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(b"secret" in path.read_bytes() for path in files)


def test_a_second_process_gets_an_error(chat: Start) -> None:
    with chat() as first:
        wait_for_prompt(first)
        with chat() as second:
            assert second.exit_status == 18
            assert "open in another process" in "\n".join(second.screen())


def test_a_full_context_shows_a_note(chat: Start) -> None:
    with chat("yes", n_ctx=500) as terminal:
        wait_for_prompt(terminal)
        for n in range(2, 9):
            terminal.send(f"turn{n} " + "w " * 60 + "\r")
            wait_for_prompt(terminal, n)
        terminal.wait_for("replaced by a summary")


def test_the_chat_survives_job_control(chat: Start) -> None:
    with chat(LONG, delay=0.01) as terminal:
        wait_for_prompt(terminal)
        terminal.send("go\r")
        terminal.wait_for("word5")
        terminal.signal(signal.SIGSTOP)
        time.sleep(0.2)
        shown = terminal.raw
        terminal.signal(signal.SIGCONT)
        terminal.wait_until(lambda: len(terminal.raw) > len(shown) + 200, what="more words")
        terminal.send("\x03")


def test_the_chat_starts_when_the_data_folder_is_not_writable(
    env: dict[str, str], tmp_path: Path, tiny_model: Callable[..., Path]
) -> None:
    (tmp_path / "file").write_text("")
    model = tiny_model("plain", **INFINITE)
    argv = [*LLMTOOL, "chat", "-m", model, "--max-tokens", "4"]
    variables = {**env, "TERM": "xterm", "LLMTOOL_DATA_DIR": str(tmp_path / "file" / "data")}
    with Terminal(argv, variables, cwd=tmp_path) as terminal:
        terminal.wait_for("this conversation is not saved")
        wait_for_prompt(terminal)
        say(terminal, "Hello", "truncated at 4 tokens", 2)
        terminal.send("\x04")
        assert terminal.exit_status == 0
    with Terminal([*argv, "--session", "s", "Hi"], variables, cwd=tmp_path) as terminal:
        assert terminal.exit_status == 1


def test_the_real_command_with_the_starter_model(
    env: dict[str, str], tmp_path: Path, starter: Path
) -> None:
    argv = [*LLMTOOL, "chat", "-m", "starter", "--max-tokens", "12", "--temperature", "0"]
    with Terminal([*argv, "Name a river."], {**env, "TERM": "xterm"}, cwd=tmp_path) as terminal:
        wait_for_prompt(terminal)
        say(terminal, "/stats", "starter", 2)
        terminal.send("\x04")
        assert terminal.exit_status == 0
    with Terminal([*argv, "-c"], {**env, "TERM": "xterm"}, cwd=tmp_path) as terminal:
        terminal.wait_for("> Name a river.")
        wait_for_prompt(terminal)
        say(terminal, "And another?", "truncated at", 2)
        say(terminal, "/stats", " cached", 3)
    assert os.listdir(env["LLMTOOL_DATA_DIR"])


def test_help_wraps_at_words_on_a_narrow_terminal(chat: Start) -> None:
    with chat("fine", columns=40, lines=80) as terminal:
        wait_for_prompt(terminal)
        say(terminal, "/help", "Ctrl-D         Exit.", 2)
        rows = terminal.screen()
    at = rows.index("/system [TEXT]")
    assert rows[at + 1 : at + 3] == ["  Show or set the system prompt; -", "  resets it."]
    assert "  Continue under another name, leaving" in rows
