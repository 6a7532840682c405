"""Order and nesting of protected spans in a translation."""

from __future__ import annotations

import json
import time

import pytest

from llmtool.documents.formats import parse
from llmtool.documents.protected_spans import (
    find_nesting_fault,
    find_placeholder_fault,
    split_parts,
)
from llmtool.documents.types import Part, ProtectedSpan


def test_spans_that_were_joined_with_code_match_those_of_the_source() -> None:
    code, tag, end = map(ProtectedSpan, ("`<b> %d`", "<i>", "</i>"))
    source: list[Part] = [code, " ", tag, "text", end]
    joined: list[Part] = [ProtectedSpan("`<b> %d` <i>"), "Text", end]
    assert find_nesting_fault(source, joined) is None
    assert find_placeholder_fault(source, joined) is None
    assert find_nesting_fault(source, [end, "Text", ProtectedSpan("`<b> %d` <i>")]) is not None


def test_parenthesis_without_an_opening_one_ends_a_url() -> None:
    parts = split_parts("[Wiki](https://example.org/a_(b))-Syntax")
    assert parts == ("[Wiki](", ProtectedSpan("https://example.org/a_(b)"), ")-Syntax")


def test_bar_may_end_a_sentence_in_hindi() -> None:
    assert find_placeholder_fault(["It is not safe."], ["यह सुरक्षित नहीं है |"]) is None
    assert find_placeholder_fault(["It is not safe."], ["Es ist nicht sicher |"]) == "adds |"


@pytest.mark.parametrize(
    "name",
    ["__name__", "__USER_NAME__", "@@name@@", "##NAME##", "[[name]]", "%%name%%", "*|FNAME|*",
     "%USERPROFILE%", "%APPDATA%"],
)  # fmt: skip
def test_name_between_signs_is_a_placeholder_in_texts_and_messages(name: str) -> None:
    text = f"Hello {name}, welcome back"
    for document in (parse(text, "txt"), parse(json.dumps({"greeting": text}), "json")):
        (segment,) = document.segments
        assert list(segment.parts) == ["Hello ", ProtectedSpan(name), ", welcome back"]
    assert not parse(json.dumps({"x": name}), "json").segments


@pytest.mark.parametrize(
    "path", ["$HOME/.config/x", "${XDG_CONFIG_HOME}/llm/", "%APPDATA%\\llm\\x.toml", "$A/b-c/d_e"]
)
def test_path_after_a_variable_is_protected(path: str) -> None:
    assert split_parts(f"Copy {path}, and see") == ("Copy ", ProtectedSpan(path), ", and see")
    assert split_parts(f"把{path}复制。") == ("把", ProtectedSpan(path), "复制。")
    assert split_parts("${price}/night") == (ProtectedSpan("${price}"), "/night")


@pytest.mark.parametrize("text", ["__Note__ this", "See [[Paris]]", "a __b", "50%OFF% now"])
def test_other_signs_are_text(text: str) -> None:
    (segment,) = parse(text, "txt").segments
    assert list(segment.parts) == [text]


def test_emphasis_of_markdown_is_text() -> None:
    (segment,) = parse("Read __important__ notes", "md").segments
    assert list(segment.parts) == ["Read __important__ notes"]


def test_many_words_in_brackets_take_linear_time() -> None:
    started = time.process_time()
    parts = split_parts("Some " + "<x>" * 60_000 + "</y>")
    assert time.process_time() - started < 5
    assert (
        "".join(part if isinstance(part, str) else part.source for part in parts)[:8] == "Some <x>"
    )
