"""Replies collected for the log, complete or interrupted."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmtool.config import Folders, Settings
from llmtool.engine.scripted import ScriptedEngine
from llmtool.sessions.types import Attachment, Turn
from llmtool.tasks.generate.reply_log import ReplyLog, make_turn
from llmtool.toolbox import Toolbox


@pytest.fixture
def box(tmp_path: Path) -> Toolbox:
    folders = Folders(config=tmp_path, data=tmp_path, cache=tmp_path, hub_cache=tmp_path)
    engine = ScriptedEngine("one two three")
    return Toolbox(engine=engine, folders=folders, settings=Settings(), environ={})


def test_each_reply_is_a_turn_and_the_first_has_the_token_counts(box: Toolbox) -> None:
    log = ReplyLog(Turn(user="Count"), model="scripted")
    for _ in log.watch(box.stream_generate("Count", n=2)):
        pass
    first, second = log.turns()
    assert first.text == second.text == "one two three"
    assert first.completion_tokens > 0 and second.completion_tokens == 0


def test_interrupted_reply_is_a_turn_with_the_text_so_far(box: Toolbox) -> None:
    log = ReplyLog(Turn(user="Count"), model="scripted")
    events = log.watch(box.stream_generate("Count"))
    text = next(events).text
    events.close()
    (turn,) = log.turns()
    assert (turn.text, turn.finish_reason) == (text, "interrupted")


def test_missing_reply_adds_no_turn() -> None:
    assert ReplyLog(Turn(user="Count"), model="scripted").turns() == []


def test_input_is_the_prompt_or_an_attachment() -> None:
    assert make_turn(None, "text", sources=[], sent="") == Turn(user="text")
    assert make_turn("Sum up", "text", sources=["a.txt", "-"], sent="") == Turn(
        user="Sum up", files=(Attachment(name="a.txt, standard input", text="text"),)
    )
