"""The text of a reply with a schema is compact JSON; the model wrote it with spaces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llmtool.engine.scripted import ScriptedEngine
from llmtool.errors import OutputValidationError
from llmtool.tasks.results import Generation
from llmtool.toolbox import Toolbox

WRITTEN = ' {"b": [1.0, 1e5],\n "a": "x, y: \\" z"}'
COMPACT = '{"b":[1.0,1e5],"a":"x, y: \\" z"}'
SCHEMA: dict[str, Any] = {"type": "object", "required": ["a", "b"]}
TEMPLATE = "llmtool: 1\nname: own\ninputs: {prompt: {type: text}}\nprompt: '{{ prompt }}'\n"
TEMPLATE += "output: {json: {type: object}}\n"


def toolbox(replies: Any) -> Toolbox:
    return Toolbox("scripted", engine=ScriptedEngine(replies), environ={})


def test_text_and_tokens_are_compact() -> None:
    stream = toolbox(WRITTEN).stream_generate("Go", schema=SCHEMA, n=2)
    tokens = list(stream)
    assert [choice.text for choice in stream.result.choices] == [COMPACT] * 2
    for choice in range(2):
        assert "".join(token.text for token in tokens if token.choice == choice) == COMPACT
    assert stream.result.text == COMPACT
    assert stream.result.value == {"b": [1.0, 1e5], "a": 'x, y: " z'}


def test_equal_prompts_and_templates_give_compact_text(tmp_path: Path) -> None:
    box = toolbox(WRITTEN)
    results = box.generate(["Go", "Go"], schema=SCHEMA, temperature=0)
    assert [result.text for result in results] == [COMPACT] * 2
    template = tmp_path / "own.yaml"
    template.write_text(TEMPLATE)
    assert box.run(str(template), "Go").text == COMPACT


def test_only_the_valid_try_is_compact() -> None:
    box = toolbox(["[1, 2]", WRITTEN])
    stream = box.stream_generate("Go", schema=SCHEMA, retries=1)
    assert "".join(token.text for token in stream) == stream.result.text == COMPACT
    assert isinstance(engine := box.context.engine, ScriptedEngine)
    assert "[1, 2]" in engine.prompts[1]


def test_invalid_reply_is_as_the_model_wrote_it() -> None:
    with pytest.raises(OutputValidationError) as caught:
        toolbox(["I do not know", WRITTEN]).generate("Go", schema=SCHEMA, n=2)
    assert isinstance(caught.value.result, Generation)
    assert [choice.text for choice in caught.value.result.choices] == ["I do not know", COMPACT]


@pytest.mark.parametrize("options", [{}, {"regex": ".*"}, {"grammar": 'root ::= "{ }"'}], ids=str)
def test_other_replies_are_unchanged(options: dict[str, str]) -> None:
    assert toolbox("{ }").generate("Go", **options).text == "{ }"


def test_chat_continues_with_the_text_that_the_model_wrote(tmp_path: Path) -> None:
    """The next prompt then begins with the tokens that the model has already."""
    template = tmp_path / "own.yaml"
    template.write_text(TEMPLATE)
    chat = toolbox(WRITTEN).chat(template=str(template))
    assert chat.say("Go").text == WRITTEN
