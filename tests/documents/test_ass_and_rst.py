"""SubStation Alpha and reStructuredText: segments, the syntax of translations, hostile files."""

from __future__ import annotations

import builtins
import re
import time
from pathlib import Path
from typing import Any

import pysubs2
import pytest
from documents.rewriting import rewrite
from docutils.core import publish_doctree

from llmtool.documents.accounting import find_unsupported
from llmtool.documents.formats import detect, parse
from llmtool.documents.types import Document, Format
from llmtool.errors import InputError, UsageError, install_command

CORPUS = Path(__file__).parent / "corpus"


def shown(document: Document) -> list[str]:
    """The segments, with protected spans in angle quotes."""
    return [
        "".join(part if isinstance(part, str) else f"‹{part.source}›" for part in segment.parts)
        for segment in document.segments
    ]


def dialogue(*texts: str) -> str:
    times = "0,0:00:01.00,0:00:02.00,Default,,0,0,0,"
    fields = "Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text"
    lines = "".join(f"Dialogue: {times},{text}\n" for text in texts)
    return f"[Events]\nFormat: {fields}\n{lines}"


SEGMENTS: dict[str, tuple[Format, str, list[str]]] = {
    "override tags": ("ass", dialogue(r"{\pos(1,2)}Good, {\i1}big{\i0}\Nday"),
                      [r"‹{\pos(1,2)}›Good, ‹{\i1}›big‹{\i0}› day"]),
    "speakers": ("ass", dialogue(r"- Hello, you.\N{\i1}- Hi."), ["Hello, you.", "Hi."]),
    "drawings": ("ass", dialogue(r"{\p1}m 0 0 l 9 0{\p0}", r"{\p2}m 0 0{\p0} Words"),
                 [r"‹{\p2}›‹m 0 0›‹{\p0}› Words"]),
    "titles and transitions": ("rst", "====\nOver\n====\n\nUnder\n-----\n\n----\n\nText\n",
                               ["Over", "Under", "Text"]),
    "roles, links and code": (
        "rst",
        "See :ref:`the hours <h>`, :doc:`a/b`, `site <https://x.org>`_, ``a b``, |x| and [1]_.\n",
        ["See ‹:ref:`›the hours‹ <h>`›, ‹:doc:`a/b`›, ‹`›site‹ <https://x.org>`_›, ‹``a b``›, "
         "‹|x|› and ‹[1]_›."],
    ),
    "roles with text": (
        "rst",
        "The :abbr:`WHO (World Health)`, :dfn:`one two` and :strong:`three`, not :kbd:`Enter`.\n",
        ["The ‹:abbr:`WHO (›World Health‹)`›, ‹:dfn:`›one two‹`› and ‹:strong:`›three‹`›, "
         "not ‹:kbd:`Enter`›."],
    ),
    "a directive that is not known, with sentences": (
        "rst",
        ".. event:: opened (door)\n\n   Sent after a door was opened by a person.\n\n   Next.\n\n"
        ".. tab:: One\n\n   Two.\n\n.. version-added:: 3.1\n   Three.\n\n"
        ".. plan::\n\n   x = one(two three) and four five;\n",
        ["Sent after a door was opened by a person.", "Next.", "One", "Two.", "Three."],
    ),
    "directives": (
        "rst",
        ".. note:: One\n   two\n\n.. tip::\n   :class: x\n\n   Three\n\n.. code:: sh\n\n   ls a\n\n"
        ".. image:: a.png\n   :alt: Four\n\n.. admonition:: Five six\n\n   Seven\n",
        ["One two", "Three", "Four", "Five six", "Seven"],
    ),
    "titles of pages": (
        "rst",
        ".. toctree::\n   :caption: One\n\n   Two three <intro>\n   other\n\nFour\n",
        ["One", "Two three", "Four"],
    ),
    "options with text": (
        "rst",
        ".. title:: Zero\n\n"
        ".. meta::\n   :description: One\n      two\n   :keywords: three\n   :author: x\n"
        "   :property=og\\:title: Four\n\n.. figure:: a.png\n   :alt: Five\n      six\n"
        "   :width: 9\n\n"
        "   Seven.\n\n.. header:: Eight\n\n.. module:: x\n   :synopsis: Nine\n",
        ["Zero", "One two", "three", "Four", "Five six", "Seven.", "Eight", "Nine"],
    ),
    "lists": ("rst", "- one\n  two\n- three\n\n1. four\n\nterm\n  five\n\n:a: six\n\n| seven\n",
              ["one two", "three", "four", "term", "five", "six", "seven"]),
    "literal blocks": ("rst", "One::\n\n  a b\n\n  c\n\nTwo::\n\n> d\n\nThree\n",
                       ["One‹::›", "Two‹::›", "Three"]),
    "options, types and contents": (
        "rst",
        "/V  One.\n+x  Two.\n\n:param a: Three.\n:type a: list of\n   ints\n:rtype: a str\n\n"
        ".. contents:: Four\n   :depth: 2\n",
        ["One.", "Two.", "Three.", "Four"],
    ),
    "names in capitals, an option as an argument, a thin space": (
        "rst",
        ".. Note:: One\n\n.. CODE::\n\n   x y\n\n.. contents:: :local:\n\nTwo\n\u2009\n"
        ".. tip:: Three\n",
        ["One", "Two", "Three"],
    ),
    "comments and targets": ("rst", ".. a comment\n   b\n\n"
                             ".. a::b:: c\n\n   Text of it.\n\n..\f c\n\n   d\n\n.. _t:\n\n.. _u: https://x.org\n\nOne\n",
                             ["One"]),
}  # fmt: skip


@pytest.mark.parametrize(("format", "text", "segments"), SEGMENTS.values(), ids=SEGMENTS)
def test_segments_of_each_format(format: Format, text: str, segments: list[str]) -> None:
    assert shown(parse(text, format)) == segments


WRITTEN: dict[str, tuple[Format, str, str, str]] = {
    "a subtitle of two lines is balanced": ("ass", dialogue(r"Good morning,\Nall of you"),
                                            "Guten Morgen euch allen", dialogue(
                                                r"Guten Morgen\Neuch allen")),
    "an underline is as long as its title": ("rst", "Books\n=====\n", "Viele Bücher",
                                             "Viele Bücher\n============\n"),
    "a wide title": ("rst", "=====\nBooks\n=====\n", "图书和图书馆",
                     "============\n图书和图书馆\n============\n"),
    "a title of a page": (
        "rst", ".. toctree::\n\n   One two <intro>\n   other\n", "Eins",
        ".. toctree::\n\n   Eins <intro>\n   other\n",
    ),
    "a paragraph is wrapped with its indent": (
        "rst", "- one two three\n  four\n", "eins zwei drei vier fünf",
        "- eins zwei\n  drei vier\n  fünf\n",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("format", "text", "new", "written"), WRITTEN.values(), ids=WRITTEN)
def test_translations_are_written_in_the_syntax_of_the_format(
    format: Format, text: str, new: str, written: str
) -> None:
    document = parse(text, format)
    assert rewrite(document, {0: (new,)}) == written
    assert document.compare(written) is None


@pytest.mark.parametrize(
    ("format", "text", "new", "fault"),
    [
        ("ass", dialogue("One"), r"Eins {\i1}", "contains { }"),
        ("ass", dialogue("One"), r"Eins\Nzwei", "contains { }"),
        ("rst", "One *two*.\n", "Eins *zwei.", "has other markup"),
        ("rst", "One two.\n", "- eins", "starts like another kind of block"),
        ("rst", "One two.\n", "Eins::", "has other markup"),
        ("rst", "One two.\n", "Eins `zwei`_", "has other markup"),
    ],
)
def test_text_that_would_become_markup_is_a_fault(
    format: Format, text: str, new: str, fault: str
) -> None:
    document = parse(text, format)
    assert fault in (document.find_fault(document.segments[0], (new,)) or "")


def test_case_files() -> None:
    ass = (CORPUS / "good_morning.ass").read_text()
    document = parse(ass, detect("a.ass", ass))
    (segment,) = document.segments
    output = rewrite(document, {0: (segment.parts[0], "Guten Morgen zusammen!")})
    assert output == ass.replace(r"Good morning,\Neverybody!", r"Guten Morgen\Nzusammen!")
    event = pysubs2.SSAFile.from_string(output).events[0]
    assert event.plaintext == "Guten Morgen\nzusammen!"
    rst = (CORPUS / "note.rst").read_text()
    document = parse(rst, detect("a.rst", rst))
    assert shown(document) == [
        "The library", "The library is closed.", "See ‹:ref:`›opening hours‹ <hours>`› and "
        "‹``code``›.",
    ]  # fmt: skip


def test_the_whole_document_has_the_structure_of_the_source_for_docutils() -> None:
    def tags(text: str) -> list[str]:
        settings = {"report_level": 5, "file_insertion_enabled": False}
        tree = publish_doctree(text, settings_overrides=settings)
        names = [node.tagname for node in tree.findall() if hasattr(node, "tagname")]
        return [each for each in names if each not in ("#text", "system_message", "problematic")]

    source = (CORPUS / "library.rst").read_text()
    document = parse(source, "rst")
    changed = {}
    for index, segment in enumerate(document.segments):
        parts = tuple(part.swapcase() if isinstance(part, str) else part for part in segment.parts)
        assert document.find_fault(segment, parts) is None
        changed[index] = parts
    output = rewrite(document, changed)
    assert tags(output) == tags(source)
    assert "the LIBRARIAN" not in source and "tHE LIBRARIAN" in output


@pytest.mark.parametrize(
    ("format", "text", "reason"),
    [
        ("ass", dialogue(r"{\k20}Sing {\k30}it"), "karaoke"),
        ("rst", "+---+\n| a |\n+---\n", "the syntax of the table"),
        ("rst", "=== ===\na   b\n=== ===\nlong d\n=== ===\n", "the syntax of the table"),
        ("rst", ".. strange::\n\n   Some words.\n", "the directive strange is not supported"),
        ("rst", ".. strange:: Some more words\n", "the directive strange is not supported"),
        ("rst", "Title\n=====\n\nSee `Title`_.\n", "a link refers to this title"),
        ("rst", "Title\n=====\n\n(see Title_)\n", "a link refers to this title"),
    ],
)
def test_language_that_is_not_supported_is_reported(format: Format, text: str, reason: str) -> None:
    assert [reason in each.reason for each in find_unsupported(parse(text, format))] == [True]


@pytest.mark.parametrize("text", ["index:: one two three", "strange:: a.b c d", "strange:: A b"])
def test_other_arguments_of_directives_are_not_language(text: str) -> None:
    assert find_unsupported(parse(f".. {text}\n", "rst")) == []


@pytest.mark.parametrize(
    ("format", "text", "error"),
    [
        ("ass", "Hello", "line 1: not an .ass file; it has no section"),
        ("ass", "[Events]\nDialogue: 0,a,b,c\n", "no Format: line|not a valid .ass file"),
    ],
)
def test_invalid_files_are_one_line_errors(format: Format, text: str, error: str) -> None:
    with pytest.raises(InputError, match=error):
        parse(text, format)


def test_deeply_nested_text_is_an_error_or_is_read() -> None:
    nested = "".join(" " * i + "a\n\n" for i in range(1200))
    with pytest.raises(InputError, match="nested too deeply"):
        parse(nested, "rst")


def test_directives_that_read_files_are_not_run(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret words")
    text = f"One\n\n.. include:: {tmp_path}/secret.txt\n\n.. raw:: html\n   :file: /etc/passwd\n"
    assert shown(parse(text, "rst")) == ["One"]


@pytest.mark.parametrize(("library", "format"), [("pysubs2", "ass"), ("docutils", "rst")])
def test_missing_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, library: str, format: Format
) -> None:
    real_import = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.split(".")[0] == library:
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    from llmtool.documents.rst import structure

    structure._docutils.cache_clear()
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageError, match=re.escape(install_command(format))):
        parse("[Events]\n", format)


@pytest.mark.parametrize("unit", [":", "a.", "/*", "\n", "[", "[^a", "{", "-a", "a:b"])
def test_hostile_rst_takes_linear_time(unit: str) -> None:
    source = unit * (20_000 // len(unit)) + "\n\nText.\n"
    assert rewrite(parse(source, "rst"), {}) == source


def test_endless_name_of_a_section_is_invalid() -> None:
    source = "[Script Info]\n[" + "a" * 99_000 + "\n[Events]\n"
    started = time.process_time()
    with pytest.raises(InputError, match="line 2: the name of the section does not end"):
        parse(source, "ass")
    assert time.process_time() - started < 2


def test_rst_with_thousands_of_faults_is_invalid() -> None:
    title = "Title\n=====\n\nText.\n\n"
    parse(title * 2_000, "rst")  # each later title is a duplicate
    with pytest.raises(InputError, match=r"more than 5,000 faults; is it reStructuredText\?"):
        parse(title + "::\n" * 10_000, "rst")
