"""A corpus of difficult documents: translation leaves everything else unchanged, byte for byte.

The first half tests the parsers, the second half `translate` end to end.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from documents.rewriting import rewrite
from hypothesis import given, settings
from hypothesis import strategies as st
from offenders import every

from llmtool import Toolbox
from llmtool.documents.formats import detect, parse
from llmtool.documents.types import Document, Format, Part, ProtectedSpan, Segment, find_unaccounted
from llmtool.engine.scripted import ScriptedEngine

CORPUS = sorted((Path(__file__).parent / "corpus").iterdir())
SYNTAX = [
    "# x", "1. y", "* z", "- ", "> q", "a | b", "[q](z)", "`code`", "<b>", '"', "\\", "&amp;",
    "-->", "\n", "12\n", "***", "字", "{x}", "===",
]  # fmt: skip


@cache
def load(path: Path) -> Document:
    text = path.read_bytes().decode()
    return parse(text, detect(path.name, text))


def test_corpus_has_enough_documents() -> None:
    assert len(CORPUS) >= 40


@every(path=CORPUS)
def test_document_without_translations_is_unchanged(path: Path) -> None:
    document = load(path)
    assert rewrite(document, {}) == document.source == path.read_bytes().decode()
    own = {i: segment.parts for i, segment in enumerate(document.segments)}
    assert rewrite(document, own) == document.source
    assert document.compare(document.source) is None


@every(path=CORPUS)
def test_segments_are_in_order_and_have_letters(path: Path) -> None:
    at = 0
    for segment in load(path).segments:
        assert at <= segment.start <= segment.end
        assert segment.waits or any(map(str.isalpha, segment.text))
        at = segment.end


@every(path=CORPUS)
def test_every_letter_is_in_a_segment_or_outside_of_them_for_a_reason(path: Path) -> None:
    document = load(path)
    holes = [document.source[start:end] for start, end in find_unaccounted(document)]
    assert holes == []
    assert all(each.reason for each in document.outside or ())


@every(path=CORPUS, first=(0, 5, 10, 15))
def test_text_that_would_change_the_structure_is_a_fault(path: Path, first: int) -> None:
    changes = [
        *(lambda text, syntax=syntax: f"{syntax} {text}" for syntax in SYNTAX),
        *(lambda text, syntax=syntax: f"{text}{syntax}" for syntax in SYNTAX),
    ]
    change_segments(load(path), changes[first:] + changes[:first])


@pytest.mark.long
@every(path=CORPUS, syntax=SYNTAX)
def test_syntax_in_every_segment_is_a_fault(path: Path, syntax: str) -> None:
    for change in (lambda text: f"{syntax} {text}", lambda text: f"{text}{syntax}"):
        change_segments(load(path), [change])


def change_segments(document: Document, changes: list[Callable[[str], str]]) -> None:
    """Change each segment by the next of `changes`, unless that is a fault."""
    changed = {}
    for index, segment in enumerate(document.segments):
        parts = with_text(segment, changes[index % len(changes)])
        if document.find_fault(segment, parts) is None:
            changed[index] = parts
    assert document.compare(rewrite(document, changed)) is None


@every(path=CORPUS)
def test_ordinary_words_are_accepted(path: Path) -> None:
    document = load(path)
    changed = {i: with_text(s, str.swapcase) for i, s in enumerate(document.segments)}
    faults = [document.find_fault(s, changed[i]) for i, s in enumerate(document.segments)]
    assert set(faults) <= {None}
    assert document.compare(rewrite(document, changed)) is None


def with_text(segment: Segment, change: Callable[[str], str]) -> tuple[Part, ...]:
    return tuple(
        part if isinstance(part, ProtectedSpan) or not any(map(str.isalpha, part)) else change(part)
        for part in segment.parts
    )


# End to end


def source_text(prompt: str) -> str:
    found = re.search(r"Translate(?: from [\w ]+)? to [\w ]+: (.*)", prompt, re.DOTALL)
    assert found is not None, prompt
    return found[1]


def make_toolbox(reply: Callable[[str], str]) -> Toolbox:
    return Toolbox(
        engine=ScriptedEngine(lambda prompt: reply(source_text(prompt))), model="scripted"
    )


@every(path=CORPUS)
def test_identity_translation_returns_the_same_bytes(path: Path) -> None:
    text = path.read_bytes().decode()
    format = detect(path.name, text)
    result = make_toolbox(lambda segment: segment).translate(
        text, "English", source="en", format=format
    )
    if not load(path).has_targets:
        assert result.text == parse(text, format, to="en").source


@pytest.mark.parametrize(
    ("format", "source", "output"),
    [
        ("po", 'msgid "Name"\nmsgstr ""\n', 'msgid "Name"\nmsgstr "Name"\n'),
        (
            "qt",
            "<TS><context><message><source>Name</source><translation type='unfinished'/></message>"
            "</context></TS>",
            "<source>Name</source><translation>Name</translation>",
        ),
        (
            "xliff",
            "<xliff version='1.2'><file><body><trans-unit id='1'><source>Name</source></trans-unit>"
            "</body></file></xliff>",
            '<source>Name</source><target state="translated">Name</target>',
        ),
    ],
)
def test_translation_that_equals_its_source_is_written(
    format: Format, source: str, output: str
) -> None:
    result = make_toolbox(lambda text: text).translate(source, "German", format=format)
    assert output in result.text
    assert result.untranslated == ()


def test_text_that_does_not_fit_the_context_costs_only_its_segment() -> None:
    data = "x" * 200_000
    result = make_toolbox(str.upper).translate(
        f"One.\n\n{data}\n\nTwo.\n", "English", source="en", format="md"
    )
    assert result.text == f"ONE.\n\n{data}\n\nTWO.\n"
    assert [each.reason for each in result.untranslated] == ["it does not fit the context"]


def test_images_in_data_urls_are_protected() -> None:
    url = f"data:image/png;base64,{'iVBORw0KGgo' * 2000}="
    result = make_toolbox(str.upper).translate(
        f"See ![one]({url}) <img src='{url}' alt='two'>.\n", "English", source="en", format="md"
    )
    assert result.text == f"SEE ![ONE]({url}) <img src='{url}' alt='TWO'>.\n"


_PLACEHOLDER = re.compile(r"[{<\[⟦]\d+[}>\]⟧]")


def reverse_placeholders(text: str) -> str:
    placeholders = iter(reversed(_PLACEHOLDER.findall(text)))
    return _PLACEHOLDER.sub(lambda _: next(placeholders), text)


ADVERSARIES: dict[str, Callable[[str], str]] = {
    "empty reply": lambda text: "",
    "repeated instruction": lambda text: f"Translate from English to English: {text}",
    "missing placeholders": lambda text: re.sub(r"[{<\[⟦]\d+[}>\]⟧]", "", text),
    "repeated text": lambda text: text + text,
    "reversed placeholders": reverse_placeholders,
    "reversed words": lambda text: " ".join(reversed(text.split(" "))),
    "additional lines": lambda text: text + "\n\nNote: I hope that this helps you.",
    "wrong language": lambda text: "Voici une phrase en français qui ne dit rien du tout ici.",
    "markup": lambda text: f"# **{text}** | [x](y) <b> `c` -->",
    "control characters": lambda text: f"{text}\x1b[2J\u202e",
}


def reply_in_turn() -> Callable[[str], str]:
    """Return a reply that is another adversary for each segment."""
    replies = itertools.cycle(ADVERSARIES.values())
    return lambda text: next(replies)(text)


@pytest.mark.parametrize(
    "adversary",
    ["all in turn", *(pytest.param(name, marks=pytest.mark.long) for name in ADVERSARIES)],
)
@every(path=CORPUS)
def test_no_reply_changes_the_structure(path: Path, adversary: str) -> None:
    reply = ADVERSARIES[adversary] if adversary in ADVERSARIES else reply_in_turn()
    text = path.read_bytes().decode()
    format = detect(path.name, text)
    result = make_toolbox(reply).translate(text, "English", source="en", format=format)
    document = parse(text, format, to="en")
    assert document.compare(result.text) is None
    lines = {each.line for each in result.untranslated}
    assert all(1 <= line <= text.count("\n") + 1 for line in lines)


PIECES = [
    "# Title\n", "words here. ", "More words!\n", "\n\n", "- item\n", "> quote\n", "`code`",
    "| a | b |\n|--|--|\n| c d | e |\n", "```\nx y\n```\n", "**bold** ", "{name} ", "图书馆。",
    "[a](b)", "<b>tag</b> ", "\\* ", "&amp; ", "![alt text](c) ", "1. one\n", "\r\n", "\t", "---\n",
    "  \n", "$x$ ", "[^1]: ", "[x] ",
]  # fmt: skip


@settings(deadline=None)  # the first call loads the language identifier
@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=25).map("".join))
def test_identity_translation_of_random_markdown_is_unchanged(text: str) -> None:
    if text.strip():
        toolbox = make_toolbox(lambda segment: segment)
        result = toolbox.translate(text, "English", source="en", format="md")
        assert result.text == text
