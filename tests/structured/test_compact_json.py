"""White space between the values of JSON is removed, and nothing else."""

from __future__ import annotations

import json
import random

from hypothesis import given
from hypothesis import strategies as st

from llmtool.structured.compact_json import CompactJson

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def compact(text: str, seed: int = 0) -> str:
    """Compact a text that arrives in random parts."""
    chance, json_text = random.Random(seed), CompactJson()
    made = ""
    while text:
        n = chance.randint(1, 5)
        made, text = made + json_text.push(text[:n]), text[n:]
    return made


@given(VALUES, st.sampled_from([None, 0, 2, "\t", "\r\n "]), st.booleans(), st.integers(0, 99))
def test_any_json_is_written_as_by_jq(
    value: object, indent: int | str | None, ascii: bool, seed: int
) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii)
    assert compact(text, seed) == json.dumps(value, separators=(",", ":"), ensure_ascii=ascii)


def test_numbers_names_and_escapes_stay_as_written() -> None:
    text = '\n{ "z" : [1.0, 1e5, -0, 12345678901234567890123], "a": "\\u00e9\\/ \\\\", "a": null }'
    expected = '{"z":[1.0,1e5,-0,12345678901234567890123],"a":"\\u00e9\\/ \\\\","a":null}'
    assert compact(text) == expected
