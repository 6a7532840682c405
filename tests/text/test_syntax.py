"""Whether a text is well-formed: what is read, never run, and never for long."""

from __future__ import annotations

import pytest

from llmtool.text.syntax import MAX_CHARACTERS, find_error, unfenced


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("python", "("),
        ("python", "(" * 100_000),
        ("python", "-" * 100_000 + "1"),
        ("python", "x = 1\0"),
        ("json", "[" * 100_000),
        ("json", "{'a': 1}"),
        ("toml", "a = [" * 10_000),
        ("toml", "a = 1\na = 2"),
        ("yaml", "[" * 100_000),
        ("yaml", "a: b: c"),
        ("yaml", "\x01"),
        ("yaml", ""),
    ],
    ids=lambda value: value[:8],
)
def test_what_is_not_well_formed_has_an_error(language: str, text: str) -> None:
    assert find_error(language, text)


def test_odd_escapes_in_python_are_no_errors() -> None:
    assert find_error("python", "x = '\\d'") is None


def test_a_huge_text_is_not_read() -> None:
    assert (
        find_error("json", " " * (MAX_CHARACTERS + 1)) == f"longer than {MAX_CHARACTERS} characters"
    )


@pytest.mark.parametrize(
    ("text", "inner"),
    [
        ("```python\nx = 1\n```", "x = 1"),
        ("\n~~~\nx\n\ny\n~~~\n", "x\n\ny"),
        ("````\n```\nx\n```\n````", "```\nx\n```"),
        ("```\n```", ""),
        ("x\n```\ny\n```", "x\n```\ny\n```"),
        ("plain", "plain"),
    ],
    ids=["a block", "tildes", "a block in a block", "an empty block", "words before", "no block"],
)
def test_a_text_that_is_one_block_stands_for_what_is_in_it(text: str, inner: str) -> None:
    assert unfenced(text) == inner
