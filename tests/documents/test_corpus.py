"""A corpus of documents as nasty as real ones: what no translation may change stays, byte for byte.

The first half speaks of the readers, the second of the whole way through `translate`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from documents.rewriting import rewrite
from hypothesis import given, settings
from hypothesis import strategies as st
from offenders import offenders

from llmtool import Toolbox
from llmtool.documents.formats import detect, parse
from llmtool.documents.types import Document, Part, ProtectedSpan, Segment
from llmtool.engine.scripted import ScriptedEngine

CORPUS = sorted((Path(__file__).parent / "corpus").iterdir())
NASTY = [
    "# x", "1. y", "* z", "- ", "> q", "a | b", "[q](z)", "`code`", "<b>", '"', "\\", "&amp;",
    "-->", "\n", "12\n", "***", "字", "{x}", "===",
]  # fmt: skip


@cache
def load(path: Path) -> Document:
    text = path.read_bytes().decode()
    return parse(text, detect(path.name, text))


def test_there_are_enough_documents() -> None:
    assert len(CORPUS) >= 40


def test_a_document_without_a_translation_is_its_source() -> None:
    def check(path: Path) -> None:
        document = load(path)
        assert rewrite(document, {}) == document.source == path.read_bytes().decode()
        own = {i: segment.parts for i, segment in enumerate(document.segments)}
        assert rewrite(document, own) == document.source
        assert document.compare(document.source) is None

    assert not offenders(check, CORPUS)


def test_segments_are_in_order_and_hold_language() -> None:
    def check(path: Path) -> None:
        at = 0
        for segment in load(path).segments:
            assert at <= segment.start < segment.end
            assert any(map(str.isalpha, segment.text))
            at = segment.end

    assert not offenders(check, CORPUS)


def test_a_text_that_would_break_the_structure_is_a_fault() -> None:
    def check(path: Path, nasty: str) -> None:
        document = load(path)
        for change in (lambda text: f"{nasty} {text}", lambda text: f"{text}{nasty}"):
            changed = {}
            for index, segment in enumerate(document.segments):
                parts = with_text(segment, change)
                if document.find_fault(segment, parts) is None:
                    changed[index] = parts
            assert document.compare(rewrite(document, changed)) is None

    assert not offenders(check, CORPUS, NASTY)


def test_ordinary_words_are_no_fault() -> None:
    def check(path: Path) -> None:
        document = load(path)
        changed = {i: with_text(s, str.swapcase) for i, s in enumerate(document.segments)}
        faults = [document.find_fault(s, changed[i]) for i, s in enumerate(document.segments)]
        assert set(faults) <= {None}
        assert document.compare(rewrite(document, changed)) is None

    assert not offenders(check, CORPUS)


def with_text(segment: Segment, change: Callable[[str], str]) -> tuple[Part, ...]:
    return tuple(
        part if isinstance(part, ProtectedSpan) or not any(map(str.isalpha, part)) else change(part)
        for part in segment.parts
    )


# The whole way


def asked(prompt: str) -> str:
    found = re.search(r"Translate(?: from [\w ]+)? to [\w ]+: (.*)", prompt, re.DOTALL)
    assert found is not None, prompt
    return found[1]


def box(reply: Callable[[str], str]) -> Toolbox:
    return Toolbox(engine=ScriptedEngine(lambda prompt: reply(asked(prompt))), model="scripted")


def test_an_identity_translation_gives_back_the_bytes() -> None:
    def check(path: Path) -> None:
        text = path.read_bytes().decode()
        format = detect(path.name, text)
        toolbox = box(lambda passage: passage)
        assert toolbox.translate(text, "English", source="en", format=format).text == text

    assert not offenders(check, CORPUS)


_MARK = re.compile(r"[{<\[⟦]\d+[}>\]⟧]")


def with_marks_backwards(text: str) -> str:
    marks = iter(reversed(_MARK.findall(text)))
    return _MARK.sub(lambda _: next(marks), text)


ADVERSARIES: dict[str, Callable[[str], str]] = {
    "nothing": lambda text: "",
    "echo of the instruction": lambda text: f"Translate from English to English: {text}",
    "marks dropped": lambda text: re.sub(r"[{<\[⟦]\d+[}>\]⟧]", "", text),
    "marks twice": lambda text: text + text,
    "marks backwards": with_marks_backwards,
    "words backwards": lambda text: " ".join(reversed(text.split(" "))),
    "more lines": lambda text: text + "\n\nNote: I hope that this helps you.",
    "another language": lambda text: "Voici une phrase en français qui ne dit rien du tout ici.",
    "markup": lambda text: f"# **{text}** | [x](y) <b> `c` -->",
    "controls": lambda text: f"{text}\x1b[2J\u202e",
}


@pytest.mark.parametrize("adversary", ADVERSARIES)
def test_no_reply_breaks_a_document(adversary: str) -> None:
    toolbox = box(ADVERSARIES[adversary])

    def check(path: Path) -> None:
        text = path.read_bytes().decode()
        format = detect(path.name, text)
        result = toolbox.translate(text, "English", source="en", format=format)
        document = parse(text, format)
        assert document.compare(result.text) is None
        kept = {each.line for each in result.kept}
        assert all(1 <= line <= text.count("\n") + 1 for line in kept)

    assert not offenders(check, CORPUS)


PIECES = [
    "# Title\n", "words here. ", "More words!\n", "\n\n", "- item\n", "> quote\n", "`code`",
    "| a | b |\n|--|--|\n| c d | e |\n", "```\nx y\n```\n", "**bold** ", "{name} ", "图书馆。",
    "[a](b)", "<b>tag</b> ", "\\* ", "&amp; ", "![alt text](c) ", "1. one\n", "\r\n", "\t", "---\n",
    "  \n", "$x$ ", "[^1]: ", "[x] ",
]  # fmt: skip


@settings(deadline=None)  # the first call loads the identifier of languages
@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=25).map("".join))
def test_any_document_comes_back_from_an_identity_translation(text: str) -> None:
    if text.strip():
        toolbox = box(lambda passage: passage)
        result = toolbox.translate(text, "English", source="en", format="md")
        assert result.text == text
