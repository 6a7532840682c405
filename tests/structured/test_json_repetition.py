"""Strings and arrays of constrained replies end when the model repeats itself."""

from __future__ import annotations

import json

import pytest

from llmtool.structured.compiler import ConstraintCompiler
from llmtool.structured.constraint import Constraint
from llmtool.structured.guidance import ByteVocabulary
from llmtool.structured.json_repetition import Repetition


def write(schema: object, endless: str, *, limit: int = 2000) -> tuple[str, bool]:
    """Write a reply with a model that continues `endless`, or else writes an allowed byte."""
    matcher = (
        ConstraintCompiler(ByteVocabulary())
        .compile(Constraint("json_schema", json.dumps(schema)))
        .start()
    )
    reply = b""
    wanted = endless.encode()
    for at in range(limit):
        # After its first departure from `endless`, the reply only closes what is open.
        likely = [wanted[at : at + 1]] if reply == wanted[:at] else []
        for byte in [*likely, b'"', b"]", b"}", b",", b" "]:
            if byte and matcher.allows(byte[0]):
                break
        matcher.accept(byte[0])
        reply += byte
        if matcher.finished:
            break
    return reply.decode(), matcher.ended_repetition


LIST = {"type": "array", "items": {"type": "string"}}
NUMBERS = {"type": "array", "items": {"type": "integer"}}
PEOPLE = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {"name": {"type": "string"}, "tags": LIST},
        "required": ["name", "tags"],
    },
}


@pytest.mark.parametrize(
    ("schema", "endless"),
    [
        (LIST, '["x"' + ', "Nice"' * 400),
        (LIST, "[" + '"a", "b", "c", ' * 200),
        ({"type": "string"}, '"' + "so on, and " * 400),
        ({"type": "string"}, '"' + "中文" * 400),
        (NUMBERS, "[" + "0, " * 700),
        (PEOPLE, "[" + '{"name": "Ada", "tags": ["x", "y"]}, ' * 100),
        (PEOPLE, '[{"name": "Ada", "tags": [' + '"x", ' * 400),
    ],
    ids=["item", "cycle of items", "phrase", "chinese", "numbers", "objects", "inner list"],
)
def test_endless_repetition_ends_with_valid_json(schema: object, endless: str) -> None:
    text, ended = write(schema, endless)
    json.loads(text)
    assert ended and len(text) < 700


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        (LIST, json.dumps(["yes", "yes", "yes", "yes", "no", "yes", "yes", "yes"])),
        (NUMBERS, json.dumps([0] * 12 + [1] + [0] * 12)),
        (LIST, json.dumps([f"item {n}" for n in range(40)])),
        ({"type": "string"}, json.dumps("-" * 80 + " title " + "=" * 80)),
        ({"type": "string"}, json.dumps('a "quoted" \\\\ text, ' * 3)),
        (PEOPLE, json.dumps([{"name": f"n{n}", "tags": ["x"]} for n in range(9)])),
    ],
    ids=["short runs", "numbers", "counter", "rules", "escapes", "objects"],
)
def test_ordinary_repetition_is_allowed(schema: object, text: str) -> None:
    assert write(schema, text) == (text, False)


def test_required_items_are_written_even_if_they_repeat() -> None:
    text, _ = write({**LIST, "minItems": 20}, "[" + '"a", ' * 40)
    assert len(json.loads(text)) >= 20


def test_comma_in_a_string_or_outside_the_array_is_allowed() -> None:
    state = Repetition()
    state.push(b'{"a": [' + b'"x", ' * 6)
    assert state.near_limit
    assert (state.fits(b'"x,'), state.fits(b'"x"], "b'), state.fits(b'"x", ')) == (
        True,
        True,
        False,
    )
