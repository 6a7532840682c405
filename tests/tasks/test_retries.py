"""Invalid replies are requested again with their error; usage and tries count all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from llmtool.engine.scripted import ScriptedEngine
from llmtool.errors import OutputValidationError, UsageError
from llmtool.tasks.results import Generation
from llmtool.toolbox import Toolbox

GOOD, BAD = '{"year": 1815}', '{"year": "old"}'
SCHEMA = "year int"


def toolbox(replies: Any, **options: Any) -> tuple[Toolbox, ScriptedEngine]:
    engine = ScriptedEngine(replies, **options)
    return Toolbox("scripted", engine=engine, environ={}), engine


def invalid_then(*replies: str) -> Callable[[str], str]:
    """Return replies by the number of errors in the conversation."""
    return lambda prompt: replies[prompt.count("This reply is invalid")]


def test_retry_has_the_invalid_reply_and_its_error_in_the_conversation() -> None:
    box, engine = toolbox([BAD, GOOD])
    result = box.generate("When?", schema=SCHEMA, retries=1)
    assert result.value == {"year": 1815} and result.tries == result.choices[0].tries == 2
    first, second = engine.prompts
    assert second.startswith(first + f"\nassistant: {BAD}\nuser: This reply is invalid: ")
    assert '$.year: "old" is not of type "integer"' in second.rpartition("user: ")[2]


def test_usage_includes_all_tries() -> None:
    box, _ = toolbox([BAD, BAD, GOOD])
    single, _ = toolbox(GOOD)
    usage = box.generate("When?", schema=SCHEMA, retries=2).usage
    one = single.generate("When?", schema=SCHEMA).usage
    assert usage.completion_tokens == 3 * one.completion_tokens
    assert usage.prompt_tokens > 3 * one.prompt_tokens


def test_valid_reply_is_requested_once() -> None:
    box, engine = toolbox(GOOD)
    result = box.generate("When?", schema=SCHEMA, retries=5)
    assert (result.tries, len(engine.prompts), result.warnings) == (1, 1, ())


def test_error_after_the_last_try_has_the_number_of_tries() -> None:
    box, engine = toolbox([BAD, "{", BAD])
    with pytest.raises(OutputValidationError, match=r"\$.year: .* \(after 3 tries\)$") as caught:
        box.generate("When?", schema=SCHEMA, retries=2)
    assert caught.value.exit_code == 17 and len(engine.prompts) == 3
    assert isinstance(caught.value.result, Generation)
    assert caught.value.result.tries == 3
    assert caught.value.result.usage.completion_tokens > 3


@pytest.mark.parametrize(
    ("options", "bad", "good"),
    [
        ({"regex": "yes|no"}, "maybe", "yes"),
        ({"grammar": 'root ::= "a" | "b"'}, "c", "a"),
        ({"schema": {"type": "array", "uniqueItems": True}}, "[1, 1]", "[1,2]"),
        ({"schema": {"type": "string", "pattern": "^(?!a)"}}, '"a"', '"b"'),
        ({"schema": list[int]}, '["a"]', "[1]"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_every_kind_of_output_is_retried(options: dict[str, Any], bad: str, good: str) -> None:
    box, _ = toolbox([bad, good])
    result = box.generate("Go", retries=1, **options)
    assert (result.text, result.tries) == (good, 2)
    assert any("valid only after a retry" in warning for warning in result.warnings)


def test_truncated_reply_is_retried_as_too_long() -> None:
    box, engine = toolbox(['{"year": 1 }' + " " * 3 + "x y z", GOOD])
    result = box.generate("When?", schema=SCHEMA, retries=1, max_tokens=2)
    assert result.value == {"year": 1815}
    assert "it is longer than 2 tokens" in engine.prompts[1]


def test_only_invalid_choices_are_retried() -> None:
    box, engine = toolbox([GOOD, BAD, GOOD, BAD, GOOD])
    result = box.generate("When?", schema=SCHEMA, retries=2, n=3)
    assert [choice.value for choice in result.choices] == [{"year": 1815}] * 3
    assert [choice.tries for choice in result.choices] == [1, 3, 1]
    assert len(engine.prompts) == 3


def test_only_the_last_try_is_streamed() -> None:
    box, _ = toolbox([BAD, GOOD])
    stream = box.stream_generate("When?", schema=SCHEMA, retries=1)
    assert "".join(token.text for token in stream) == stream.result.text == '{"year":1815}'


def test_requests_are_retried_independently() -> None:
    def reply(prompt: str) -> str:
        return BAD if "odd" in prompt and "invalid" not in prompt else GOOD

    box, _ = toolbox(reply)
    prompts = [f"{'odd' if i % 2 else 'even'} {i}" for i in range(600)]
    results = box.generate(prompts, schema=SCHEMA, retries=1)
    assert [result.tries for result in results] == [1 + i % 2 for i in range(600)]


def test_retry_that_exceeds_the_context_gives_the_error_of_the_reply() -> None:
    box, _ = toolbox(BAD, n_ctx=40)
    with pytest.raises(OutputValidationError, match="year") as caught:
        box.generate("When " * 10, schema=SCHEMA, retries=5, max_tokens=8)
    assert isinstance(caught.value.result, Generation)
    assert caught.value.result.tries == 1


def test_reply_of_a_template_is_retried(tmp_path: Any) -> None:
    template = tmp_path / "own.yaml"
    template.write_text(
        "llmtool: 1\nname: own\ninputs: {text: {type: text}}\nprompt: '{{ text }}'\n"
        "output: {regex: 'yes|no'}\n"
    )
    box, _ = toolbox(invalid_then("maybe", "no"))
    assert box.run(str(template), text="Is it?", options={"retries": 1}).text == "no"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"retries": 1}, "retries= requires schema=, regex= or grammar=; add one"),
        ({"retries": 11, "schema": SCHEMA}, "retries=11: must be between 0 and 10"),
        ({"retries": -1, "schema": SCHEMA}, "retries=-1: must be between 0 and 10"),
    ],
)
def test_invalid_retries_are_usage_errors(options: dict[str, Any], reason: str) -> None:
    box, engine = toolbox(GOOD)
    with pytest.raises(UsageError, match=reason):
        box.generate("When?", **options)
    assert engine.prompts == []
