"""`translate`: a byte order mark stays at the start of the output."""

from __future__ import annotations

import pytest

from llmtool import Toolbox
from llmtool.engine.scripted import ScriptedEngine


@pytest.mark.parametrize(
    ("format", "text"),
    [
        ("txt", "Good morning\n"),
        ("md", "# Good morning\n"),
        ("html", "<!doctype html><h1>Good morning</h1>"),
        ("srt", "1\n00:00:01,000 --> 00:00:02,000\nGood morning\n"),
        ("json", '{"title": "Good morning to you"}'),
    ],
)
def test_byte_order_mark_stays(format: str, text: str) -> None:
    toolbox = Toolbox(engine=ScriptedEngine("Bonjour à tous"), model="scripted")
    stream = toolbox.stream_translate("\ufeff" + text, "French", source="en")
    assert "".join(part.text for part in stream) == stream.result.text
    assert stream.result.text.startswith("\ufeff")
    assert stream.result.format == format
    assert "Bonjour" in stream.result.text
