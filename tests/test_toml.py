"""TOML: errors of any kind are one class, and hostile documents end at once."""

from __future__ import annotations

import pytest

from llmtool import toml

HOSTILE = {
    "dotted key": ("a" + ".a" * 100_000 + " = 1", "a key has more than 100 parts"),
    "quoted key": ('"a b" .' * 100_000 + "c = 1", "a key has more than 100 parts"),
    "table": ("[a" + ".a" * 100_000 + "]", "a key has more than 100 parts"),
    "inline table": ("x = {a" + ". a" * 100_000 + " = 1}", "a key has more than 100 parts"),
    "digits": ("y = 1\nx = " + "1" * 5000, r"a number has more than 4,300 digits \(at line 2\)"),
    "nesting": ("x = " + "[" * 100_000, "nested too deeply"),
}


@pytest.mark.parametrize(("text", "reason"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_document_is_an_error(text: str, reason: str) -> None:
    with pytest.raises(toml.DecodeError, match=reason):
        toml.loads(text)


def test_long_keys_and_dots_in_strings_are_read() -> None:
    key, dots = ".".join("a" * 90), "a." * 500
    assert toml.loads(f"{key} = 1\ntext = '{dots}'")["text"] == dots
