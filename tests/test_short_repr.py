"""Representations of public objects in an interactive session."""

from __future__ import annotations

from typing import Any

import pytest

import llmtool
from llmtool.engine.scripted import ScriptedEngine
from llmtool.engine.types import TokenLogprob
from llmtool.sessions.types import Attachment, Session, Turn
from llmtool.short_repr import short_repr
from llmtool.tasks.code.results import Finding
from llmtool.toolbox import Toolbox

LONG = "A long text\nwith `code` and <b>HTML</b>. " * 30


def box(reply: str = LONG) -> Toolbox:
    return Toolbox("scripted", engine=ScriptedEngine(reply, n_ctx=20_000), environ={})


def objects() -> dict[str, Any]:
    opened = box()
    reply = opened.generate("Hi", logprobs=5, max_tokens=5000)
    chat = opened.chat()
    token = TokenLogprob(token="a", bytes=(97,), logprob=-0.25)
    return {
        "Generation": reply,
        "Choice": reply.choices[0],
        "Classification": box("bug").classify(LONG, ["bug", "billing"]),
        "Summary": opened.summarize(LONG, strategy="stuff"),
        "Translation": opened.translate(LONG, "English", source="de"),
        "Code": box("x = 1; " * 40 + "\n```").write_code("x"),
        "Turn": chat.say(LONG, max_tokens=5000),
        "Session": Session(name="n" * 80, model="m" * 80, template="t" * 80),
        "Message": llmtool.Message("user", LONG),
        "Attachment": Attachment(name=LONG, text=LONG),
        "Finding": Finding(path="p" * 80, line=3, severity="error", message=LONG),
        "Token": llmtool.Token(0, 0, LONG, "", token),
        "TokenLogprob": TokenLogprob(token="a", bytes=(97,), logprob=-0.25, top=(token,) * 50),
        "Template": opened.library.load("gen"),
        "Toolbox": Toolbox("m" * 200),
        "Chat": chat,
        "Stream": opened.stream_generate("Hi"),
        "AsyncStream": opened.astream_generate("Hi"),
        "LocalModel": Toolbox("m" * 200, environ={}).context.model,
    }


def test_every_public_object_is_shown_in_a_short_line() -> None:
    found = {name: repr(value) for name, value in objects().items()}
    assert {name: text for name, text in found.items() if len(text) > 100 or "\n" in text} == {}
    assert [name for name, text in found.items() if name not in text or " at 0x" in text] == []


def test_texts_are_truncated_at_their_end() -> None:
    assert (
        repr(Turn(user="Hi", text="Hello")) == "Turn(user='Hi', text='Hello', finish_reason='stop')"
    )
    assert repr(llmtool.Message("user", "x" * 80)).endswith(f"content='{'x' * 41}…')")


def test_states_are_shown() -> None:
    opened = box()
    assert repr(opened) == "<Toolbox of 'scripted'>"
    opened.close()
    assert repr(opened) == "<Toolbox of 'scripted', closed>"
    assert repr(Toolbox()) == "<Toolbox of the default model>"


def test_empty_values_are_omitted() -> None:
    class Record:
        name, text, value = None, "", 0.123456
        __repr__ = short_repr("name", "text", "value")

    assert repr(Record()) == "Record(name=None, value=0.1235)"


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("Generation", "A long text\nwith `code` and &lt;b>HTML"),
        ("Summary", "A long text with `code` and &lt;b>"),
        ("Translation", "A long text\nwith `code` and &lt;b>"),
        ("Turn", "A long text\nwith `code` and &lt;b>"),
        ("Code", "```python\nx = 1;"),
        ("Classification", "| label | score |\n|---|---|\n| b"),
    ],
)
def test_results_are_markdown_in_a_notebook(name: str, start: str) -> None:
    assert objects()[name]._repr_markdown_().startswith(start)


def test_json_and_several_replies_are_separate_in_a_notebook() -> None:
    reply = box('{"age": 5}').generate("Hi", schema="age int")
    assert reply._repr_markdown_() == '```json\n{"age":5}\n```'
    assert box("*a*").generate("Hi", n=2)._repr_markdown_() == "*a*\n\n---\n\n*a*"
