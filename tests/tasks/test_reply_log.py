"""Replies collected for the log, complete or interrupted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llmtool.config import Folders, Settings
from llmtool.engine.scripted import ScriptedEngine
from llmtool.engine.types import Message, Prompt, Request
from llmtool.sessions.types import Attachment, Turn
from llmtool.tasks.generate.reply_log import ReplyLog, make_turn, to_history
from llmtool.toolbox import Toolbox

COUNT = Turn(user="Count")


@pytest.fixture
def box(tmp_path: Path) -> Toolbox:
    folders = Folders(config=tmp_path, data=tmp_path, cache=tmp_path, hub_cache=tmp_path)
    engine = ScriptedEngine("one two three")
    return Toolbox(engine=engine, folders=folders, settings=Settings(), environ={})


def test_each_reply_is_a_turn_and_the_first_has_the_token_counts(box: Toolbox) -> None:
    log = ReplyLog()
    for _ in log.watch(box.stream_generate("Count", n=2)):
        pass
    first, second = log.turns(COUNT, model="scripted")
    assert first.text == second.text == "one two three"
    assert first.completion_tokens > 0 and second.completion_tokens == 0


def test_interrupted_reply_is_a_turn_with_the_text_so_far(box: Toolbox) -> None:
    log = ReplyLog()
    events = log.watch(box.stream_generate("Count"))
    text = next(events).text
    events.close()
    (turn,) = log.turns(COUNT, model="scripted")
    assert (turn.text, turn.finish_reason) == (text, "interrupted")


def test_missing_reply_adds_no_turn() -> None:
    assert ReplyLog().turns(COUNT, model="scripted") == []


def turn(text: str | None, input: str | None, *messages: Message, **given: Any) -> Turn:
    request = Request(prompt=Prompt(messages=messages, prefill="Yes,"))
    return make_turn(request, text=text, input=input, template="gen", model="m", **given)


def test_input_is_the_prompt_or_an_attachment() -> None:
    made = turn(None, "text", Message("user", "text"), sources=[])
    assert (made.user, made.sent, made.files) == ("text", "", ())
    made = turn("Sum up", "text", Message("user", "Sum up: text"), sources=["a.txt", "-"])
    assert (made.user, made.sent) == ("Sum up", "Sum up: text")
    assert made.files == (Attachment(name="a.txt, standard input", text="text"),)


def test_history_has_what_the_model_saw(box: Toolbox) -> None:
    system = Message("system", "Be brief")
    first = turn("Sum up", "text", system, Message("user", "Sum up: text"), sources=["-"])
    log = ReplyLog()
    assert log.watch(box.stream_generate("Sum up")).result.text == "one two three"
    (logged,) = log.turns(first, model="scripted")
    assert logged.exchange is not None
    assert (logged.exchange.system, logged.exchange.prefill) == ("Be brief", "Yes,")
    assert to_history([logged]) == (
        Message("user", "Sum up: text"),
        Message("assistant", "Yes,one two three"),
    )
    second = turn("Shorter", None, Message("user", "Shorter"), sources=[], previous=logged)
    assert second.exchange is not None and second.exchange.previous == logged.exchange.id != ""


def test_history_of_an_older_log_quotes_the_files() -> None:
    file = Attachment(name="a.txt", text="text")
    (message, _) = to_history([Turn(user="Sum up", files=(file,), text="Yes")])
    assert message.content == 'Sum up\n\nFile a.txt:\n"""\ntext\n"""'
