"""Slash commands: output of the handlers and the actions that they return."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from llmtool.cli.commands.chat import loop, slash_commands
from llmtool.cli.commands.chat.context import (
    Action,
    ChatContext,
    Prefill,
    Quit,
    ShowReply,
    SwitchModel,
)
from llmtool.cli.commands.chat.render import ReplyView
from llmtool.cli.commands.chat.status import status_line
from llmtool.cli.terminal.console import Console
from llmtool.config import Folders, Settings
from llmtool.engine.scripted import ScriptedEngine
from llmtool.errors import UsageError
from llmtool.sessions.store import Sessions
from llmtool.sessions.types import Session, Turn
from llmtool.tasks.chat.chat import Chat
from llmtool.toolbox import Toolbox


@pytest.fixture
def context(console: Console, tmp_path: Path) -> Iterator[ChatContext]:
    folders = Folders(
        **{name: tmp_path / name for name in ("config", "data", "cache", "hub_cache")}
    )
    box = Toolbox("scripted", engine=ScriptedEngine("fine"), folders=folders, settings=Settings())
    sessions = Sessions(tmp_path / "sessions")
    with Chat(box.context, session="work", store=sessions) as chat:
        yield ChatContext(console, chat, box.context, sessions, ReplyView(console))


@pytest.mark.parametrize(
    ("line", "action"),
    [
        ("/model org/name", SwitchModel("org/name")),
        ("/undo", Prefill("Hi")),
        ("/exit", Quit()),
        ("/q", Quit()),
        ("/sessions", None),
        ("/tokens", None),
    ],
)
def test_command_returns_the_next_action(
    context: ChatContext, line: str, action: Action | None
) -> None:
    context.chat.say("Hi")
    assert slash_commands.run(context, line) == action


@pytest.mark.parametrize(
    ("text", "value"), [("on", True), ("off", False), ("low", "low"), ("default", None)]
)
def test_set_thinking_takes_an_effort(context: ChatContext, text: str, value: object) -> None:
    slash_commands.run(context, f"/set thinking {text}")
    assert context.chat.session.options.get("thinking") == value
    context.chat.say("Hi")


@pytest.mark.parametrize(
    "line",
    [
        "/set temperature=0.5",
        "/set temperature = .5",
        "/set temperature: 0.5",
        "/set temperature：0.5",
        "/set\u3000temperature\u3000０．５",
        "／set\ttemperature 0.5",
    ],
)
def test_set_accepts_other_separators(context: ChatContext, line: str) -> None:
    slash_commands.run(context, line)
    assert context.chat.session.options == {"temperature": 0.5}


@pytest.mark.parametrize("text", ["1000", "1e3", "１０００", "1000.0"])
def test_set_accepts_whole_numbers_in_any_form(context: ChatContext, text: str) -> None:
    slash_commands.run(context, f"/set max_tokens {text}")
    assert context.chat.session.options == {"max_tokens": 1000}


@pytest.mark.parametrize(
    ("line", "stop"), [("/set stop a=b", "a=b"), ("/set stop :", ":"), ("/set stop = a b", "a b")]
)
def test_set_keeps_separators_in_a_value(context: ChatContext, line: str, stop: str) -> None:
    slash_commands.run(context, line)
    assert list(context.chat.session.options["stop"]) == [stop]


def test_sessions_lists_titles_and_names_this_conversation(
    context: ChatContext, capfd: pytest.CaptureFixture[str]
) -> None:
    context.sessions.save(Session(name="old", turns=(Turn(user="How do herons hunt?"),)))
    slash_commands.run(context, "/sessions")
    shown = capfd.readouterr()
    assert "old\tHow do herons hunt?\t1" in shown.out
    assert "this conversation is 'work'" in shown.err


def test_retry_returns_the_stream_of_the_reply(context: ChatContext) -> None:
    context.chat.say("Hi")
    action = slash_commands.run(context, "/retry")
    assert isinstance(action, ShowReply)
    assert action.stream.result.text == "fine"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("/rety", "did you mean '/retry'?"),
        ("/set thinking max", "'max': must be on, off, low, medium or high"),
        ("/set temp 1", "^unknown option 'temp'; did you mean 'temperature'?"),
        ("/set max_new_tokens 5", "did you mean 'max_tokens'?"),
        ("/set temperature -1", "^temperature -1: must be between 0 and 100"),
        ("/set temperature nan", "^temperature nan: must be a number"),
        ("/set top_p １.5", "^top_p 1.5: must be between 0 and 1"),
        ("/set logit_bias 5", "^logit_bias 5: must have the form TOKEN=BIAS, such as hello=-5"),
        ("/set logit_bias a=101", "^logit_bias .*101.*: must be between -100 and 100"),
        ("/set max_tokens 0", "^max_tokens 0: must be at least 1"),
        ("/set max_tokens 1.5", "^max_tokens '1.5': must be a whole number"),
        ("/set temperature hot", "^temperature 'hot': must be a number"),
        ("/set seed １x", "seed '１x': must be a whole number"),
        ("/load wrk", "^unknown session 'wrk'; /sessions lists all"),
        ("/undo 2", "/undo takes no argument"),
        ("/read", "missing argument; use /read FILE"),
        ("/export pdf", r"unknown format 'pdf'; use /export md\|json\|html"),
        ("/edit 1 answer", r"invalid argument 'answer'; use /edit \[N\] \[reply\]"),
    ],
)
def test_invalid_command_is_a_usage_error(context: ChatContext, line: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        slash_commands.run(context, line)


@pytest.mark.parametrize(
    ("line", "candidate"),
    [
        ("/re", "/retry"),
        ("/set temp", "temperature"),
        ("/load w", "old"),
        ("/export m", "md"),
        ("/template g", "gen"),
    ],
)
def test_arguments_have_completions(context: ChatContext, line: str, candidate: str) -> None:
    context.sessions.save(Session(name="old"))
    assert candidate in (slash_commands.complete(context, line.split(" ")) or ())


def test_file_names_are_completed_by_the_line_editor(context: ChatContext) -> None:
    assert slash_commands.complete(context, ["/read", ""]) is None
    assert slash_commands.complete(context, ["/export", "md", ""]) is None
    assert slash_commands.complete(context, ["/load", "old", ""]) == ()


class Lines:
    """A line reader that returns given lines, then the end of the input."""

    def __init__(self, *lines: str) -> None:
        self._lines = iter(lines)

    def read(self, default: str = "") -> str:
        try:
            return next(self._lines)
        except StopIteration:
            raise EOFError from None

    def discard_input(self) -> None:
        pass


def test_exit_without_a_slash_is_explained_and_not_sent(
    context: ChatContext, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(loop, "_open_reader", lambda *_: Lines("exit", " exit", "exit now"))
    loop.run(context, history=None, open_context=lambda _: context.tasks)
    assert [turn.user for turn in context.chat.turns] == [" exit", "exit now"]
    assert capfd.readouterr().err.count("type /exit to leave; to send it, start with a space") == 1


def test_status_line_counts_the_tokens_of_all_turns(context: ChatContext) -> None:
    context.chat.say("Hi")
    before = status_line(context, 80)
    context.chat.say("one two three four")
    context.chat.undo()
    assert status_line(context, 80) == before == "scripted · 3/4,096 tokens"


def test_load_repairs_a_damaged_session(
    context: ChatContext, capfd: pytest.CaptureFixture[str]
) -> None:
    context.sessions.save(Session(name="old", turns=(Turn(user="Hi", text="Hello"),)))
    path = context.sessions.path("old")
    path.write_bytes(path.read_bytes() + b'{"text": "More')
    slash_commands.run(context, "/load old")
    assert "line 3: damaged: ends too early; recovered 1 turn, 1 lost" in capfd.readouterr().err
    context.chat.say("Again")
    assert [turn.user for turn in context.sessions.load("old").turns] == ["Hi", "Again"]
    slash_commands.run(context, "/load old")
    assert "damaged" not in capfd.readouterr().err
