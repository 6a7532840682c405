"""The segments that each format finds, and how their replacements are written."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from documents.rewriting import rewrite
from hypothesis import given
from hypothesis import strategies as st

from llmtool.documents import lines
from llmtool.documents.formats import detect, parse
from llmtool.documents.lines import balance, display_width, join_lines, wrap
from llmtool.documents.protected_spans import split_parts
from llmtool.documents.types import Document, Format, Part, ProtectedSpan, find_unaccounted
from llmtool.errors import InputError, UsageError


def shown(document: Document) -> list[str]:
    """The segments, with protected spans in angle quotes."""
    return [
        "".join(part if isinstance(part, str) else f"‹{part.source}›" for part in segment.parts)
        for segment in document.segments
    ]


AT = "1\n00:00:01,000 --> 00:00:02,000\n"
SEGMENTS: dict[str, tuple[Format, str, list[str]]] = {
    "heading": ("md", "## Big *news* ##\n", ["Big *news*"]),
    "paragraph of two lines": ("md", "one\ntwo\n", ["one two"]),
    "wide characters are joined without a space": ("md", "图书\n馆\n", ["图书馆"]),
    "code, link, image": (
        "md",
        "Run `x y`, see [the *docs*](u 'T') or ![a cat](c.png).\n",
        ["T", "Run ‹`x y`›, see [the *docs*]‹(u 'T')› or ![a cat]‹(c.png)›."],
    ),
    "reference links": (
        "md",
        "[A][b], [b] and [c].\n\n[b]: u\n",
        ["[A]‹[b]›, [b]‹[b]› and [c]."],
    ),
    "hard break": ("md", "one  \n two\\\nthree\n", ["one‹  \n ›two‹\\\n›three"]),
    "list and quote": ("md", "- a b\n  > c d\n  > e\n", ["a b", "c d e"]),
    "cells": ("md", "| a b | `c` |\n|--|--|\n| d \\| e | 5 |\n", ["a b", "d ‹\\|› e"]),
    "task": ("md", "- [x] done it\n", ["‹[x]› done it"]),
    "skipped blocks": ("md", "---\nt: x\n---\n```\ncode\n```\n\n    code\n\n<!-- html -->\n", []),
    "footnotes": (
        "md",
        "[^1]: First note\n  continues.\n[^b]: Second note.\n",
        ["First note continues.", "Second note."],
    ),
    "definition list": (
        "md",
        "Term\n: The first\n  meaning\n: The other\n\nAnother\n\n: One alone\n",
        ["Term", "The first meaning", "The other", "Another", "One alone"],
    ),
    "wiki links and emoji names": (
        "md",
        "See [[Home page|home]] and ![[a b.png]] :smile: at 10:30:45 :+1: [[x]](u)\n",
        ["See ‹[[Home page|›home‹]]› and ‹![[a b.png]]› ‹:smile:› at 10:30:45 ‹:+1:› [[x]]‹(u)›"],
    ),
    "speaker change": (
        "srt",
        f"{AT}Hello there.\n- How\nare you?\n",
        ["Hello there.", "How are you?"],
    ),
    "two speakers": ("srt", f"{AT}- Hello\nthere.\n– Hi.\n", ["Hello there.", "Hi."]),
    "negative number is not a speaker": (
        "srt",
        f"{AT}It fell to\n-5 degrees.\n",
        ["It fell to -5 degrees."],
    ),
    "speakers with numbers": ("srt", f"{AT}-5 pears\n-6 apples\n", ["5 pears", "6 apples"]),
    "speaker who says a number": (
        "srt",
        f"{AT}How many?\n- 5 apples.\n",
        ["How many?", "5 apples."],
    ),
    "alerts and containers": (
        "md",
        "> [!NOTE]\n> Watch\n> out.\n\n::: warning\nBe careful.\n:::\n",
        ["Watch out.", "Be careful."],
    ),
    "math, entity, tag": (
        "md",
        "$x^2$ is &copy; <b>big</b>\n",
        ["‹$x^2$› is ‹&copy;› ‹<b>›big‹</b>›"],
    ),
    "html blocks": (
        "html",
        "<h1><b>Title</b></h1><p>One <i>two</i><br>three <code>x</code> four</p>",
        ["Title", "One ‹<i>›two‹</i>›‹<br>›three ‹<code>›‹x›‹</code>› four"],
    ),
    "html attributes": (
        "html",
        "<img alt='A cat'><p title=\"Tip here\">x y</p>",
        ["A cat", "Tip here", "x y"],
    ),
    "html entities": ("html", "<p>Caf&eacute; &amp; &nbsp;tea</p>", ["Café & ‹&nbsp;›tea"]),
    "html elements that are skipped": (
        "html",
        "<script>a b</script><p translate=no>c d</p><!-- e --><pre>f</pre>",
        [],
    ),
    "subtitles": (
        "srt",
        "1\n00:00:01,000 --> 00:00:02,000\n<i>One</i>\ntwo\n",
        ["‹<i>›One‹</i>› two"],
    ),
    "dash after a tag": (
        "srt",
        f"{AT}<i>Hello,</i>\n<font color='red'>- you.</font>\n",
        ["‹<i>›Hello,‹</i>›", "you.‹</font>›"],
    ),
    "sounds and lyrics": (
        "srt",
        f"{AT}♪ A song ♪\n(DOOR OPENS)\nHe said\n(twice) so.\n",
        ["♪ A song ♪", "(DOOR OPENS)", "He said (twice) so."],
    ),
    "data in a cue": (
        "vtt",
        'WEBVTT\n\n00:01.000 --> 00:02.000\n{"title": "Some words"}\n\n'
        "00:02.000 --> 00:03.000\n[Music]\n",
        ["[Music]"],
    ),
    "dialogue": ("srt", "1\n00:00:01,000 --> 00:00:02,000\n- One?\n- Two.\n", ["One?", "Two."]),
    "vtt": (
        "vtt",
        "WEBVTT\n\nNOTE\nno\n\nid\n00:01.000 --> 00:02.000 line:0\n<v Bob>Hi &amp; bye\n",
        ["‹<v Bob>›Hi ‹&amp;› bye"],
    ),
    "cue with a blank first line": (
        "vtt",
        "WEBVTT\n\n00:01.000 --> 00:02.000\n \nhello<00:01.500><c> all</c>\n\n"
        "00:02.000 --> 00:03.000\nhello all\n \n\n",
        ["hello‹<00:01.500>›‹<c>› all‹</c>›", "hello all"],
    ),
    "arrow in a subtitle": (
        "srt",
        f"{AT}Step 1 --> Step 2: press start\n",
        ["Step 1 --> Step 2: press start"],
    ),
    "time before the start, colon before the milliseconds": (
        "srt",
        "1\n-00:00:01,000 --> 00:00:02,000\nEarly\n\n2\n00:00:03:000 --> 00:00:04:000\nLate\n",
        ["Early", "Late"],
    ),
    "drawing": (
        "srt",
        f"{AT}{{\\an7\\p1}}m 0 0 l 100 0{{\\p0}}\n\n"
        "2\n00:00:03,000 --> 00:00:04,000\n{\\p2}m 0 0{\\p0}Words{\\pos(1,2)} here\n",
        ["‹{\\p2}m 0 0{\\p0}›Words‹{\\pos(1,2)}› here"],
    ),
    "plural and fuzzy messages": (
        "po",
        'msgid ""\nmsgstr "x"\n\n'
        'msgid "%d file"\nmsgid_plural "%d files"\nmsgstr[0] ""\nmsgstr[1] ""\n'
        '\nmsgid "Yes"\nmsgstr "Ja"\n\n#, fuzzy\nmsgid "No"\nmsgstr "Nie"\n',
        ["‹›‹%d› file‹›‹%d› files", "No"],
    ),
    "message of several lines": ("po", 'msgid ""\n"One\\n"\n"two\\n"\nmsgstr ""\n', ["One\ntwo\n"]),
    "json values": (
        "json",
        '{"k": "Two words", "u": "https://x.org", "id": "a_b", "n": 1}',
        ["Two words"],
    ),
    "ICU message": (
        "json",
        '["{n, plural, =0 {no file} other {# files of {x}}}", "Hi {name} there"]',
        [
            "‹{n, plural, =0 {›no file‹} other {›‹#› files of ‹{x}›‹}}›",
            "Hi ‹{name}› there",
        ],
    ),
    "plural forms in a JSON value": (
        "json",
        '["no apples | one apple | {n} apples", "{0} None|[1,19] Some|[20,*] Many"]',
        [
            "no apples‹ | ›one apple‹ | ›‹{n}› apples",
            "‹{0}› None‹|›‹[1,19]› Some‹|›‹[20,*]› Many",
        ],
    ),
    "json value that has underscores and Chinese": (
        "json",
        '["Top_10_项目", "Top_10_items"]',
        ["Top_10_项目"],
    ),
    "labels in JSON": (
        "json",
        '["CANCEL", "Login/Register", "sign-in", "<b>Warning</b>", "and/or", "Yes/No/Cancel",'
        ' "Step1:", "$5 off", "Loading..."]',
        [
            "CANCEL",
            "Login/Register",
            "sign-in",
            "‹<b>›Warning‹</b>›",
            "and/or",
            "Yes/No/Cancel",
            "Step1:",
            "$5 off",
            "Loading...",
        ],
    ),
    "identifiers in JSON": (
        "json",
        '["a_b", "menu.file", "x.png", "image/png", "./a/b", "/usr", "fooBar", "h1", "#fff", "a=b",'
        ' "{name}", "https://x.org/中文", "xs:string", "user_{id}", {"type": "btn-primary",'
        ' "currency": "USD", "$schema": "A b", "class": "btn btn-wide", "locale": "en-us"}]',
        [],
    ),
    "texts with placeholders under keys of identifiers": (
        "json",
        '{"format": "%{count} results of %s", "url": "https://x.org now", "type": "credit card"}',
        ["‹%{count}› results of ‹%s›", "‹https://x.org› now"],
    ),
    "keys that are texts": (
        "json",
        '{"$5 off": "$5 off", "@ home": "At home"}',
        ["$5 off", "At home"],
    ),
    "Chinese next to an address": (
        "txt",
        "如有问题请发邮件到help@example.org咨询我们。\n请访问https://example.org/a获取更多信息。\n"
        "设置$HOME变量后重启。\n请访问https://example.org/获取更多信息。\n",
        [
            "如有问题请发邮件到‹help@example.org›咨询我们。",
            "请访问‹https://example.org/a›获取更多信息。",
            "设置‹$HOME›变量后重启。",
            "请访问‹https://example.org/›获取更多信息。",
        ],
    ),
    "list items in plain text": (
        "txt",
        "- One.\n- Two.\n\n  Three.\n42\n",
        ["One.", "Two.", "Three."],
    ),
    "wrapped text": (
        "txt",
        "This paragraph was wrapped by hand at some width\n"
        "so that its lines are all about as long as this\none.\n",
        [
            "This paragraph was wrapped by hand at some width so that its lines are all "
            "about as long as this one."
        ],
    ),
}


@pytest.mark.parametrize(("format", "text", "segments"), SEGMENTS.values(), ids=SEGMENTS)
def test_segments_of_each_format(format: Format, text: str, segments: list[str]) -> None:
    assert shown(parse(text, format)) == segments


WRITTEN: dict[str, tuple[Format, str, list[str], str]] = {
    "wrapped paragraph is wrapped again": (
        "md",
        "> These words are wrapped in a quote at some\n> width.\n",
        ["Diese Wörter sind in einem Zitat umgebrochen, und 1. ist keine Liste darin."],
        "> Diese Wörter sind in einem Zitat\n> umgebrochen, und 1. ist keine Liste darin.\n",
    ),
    "single line is not wrapped": ("md", "One.\n", ["Eins " * 30], "Eins " * 29 + "Eins\n"),
    "pipes in cells are escaped": (
        "md",
        "| a b | c |\n|-|-|\n",
        ["x | y", "z"],
        "| x \\| y | z |\n|-|-|\n",
    ),
    "markup in html text is escaped": (
        "html",
        "<p>one</p>",
        ["a <b> & c"],
        "<p>a &lt;b&gt; &amp; c</p>",
    ),
    "quotes in attributes are escaped": (
        "html",
        '<img alt="one two">',
        ['a "b"'],
        '<img alt="a &quot;b&quot;">',
    ),
    "a subtitle of two lines is balanced": (
        "srt",
        "1\n00:00:01,000 --> 00:00:02,000\nOne two\nthree four\n",
        ["eins zwei drei vier fünf sechs"],
        "1\n00:00:01,000 --> 00:00:02,000\neins zwei drei\nvier fünf sechs\n",
    ),
    "json strings are escaped": ("json", '["Two words"]', ['a "b"\n\\'], '["a \\"b\\"\\n\\\\"]'),
    "ASCII json stays ASCII": ("json", '["Two w\\u00f6rds"]', ["für dich"], '["f\\u00fcr dich"]'),
    "message": (
        "po",
        'msgid "Yes"\nmsgstr ""\n',
        ['Ja "so"\t!'],
        'msgid "Yes"\nmsgstr "Ja \\"so\\"\\t!"\n',
    ),
    "fuzzy message": (
        "po",
        '#, fuzzy, c-format\n#| msgid "Non"\nmsgid "No"\nmsgstr "Nie"\n',
        ["Nein"],
        '#, c-format\nmsgid "No"\nmsgstr "Nein"\n',
    ),
    "message of two lines": (
        "po",
        'msgid ""\n"a\\n"\n"b"\nmsgstr ""\n',
        ["x\ny"],
        'msgid ""\n"a\\n"\n"b"\nmsgstr ""\n"x\\n"\n"y"\n',
    ),
}


@pytest.mark.parametrize(("format", "text", "new", "written"), WRITTEN.values(), ids=WRITTEN)
def test_replacements_are_encoded_for_the_format(
    format: Format, text: str, new: list[str], written: str
) -> None:
    document = parse(text, format)
    assert rewrite(document, {i: (each,) for i, each in enumerate(new)}) == written


ORDERS: dict[str, tuple[Format, str, list[int], bool]] = {
    "swapped pairs": ("html", "<p>a <b>x</b> and <i>y</i> z</p>", [2, 3, 0, 1], True),
    "end tag before its start tag": ("html", "<p>a <b>x</b> and y</p>", [1, 0], False),
    "overlapping tags": ("html", "<p>a <b>x <i>y</i> z</b> w</p>", [0, 1, 3, 2], False),
    "moved void tag": ("html", "<p>a <b>x</b> and<br>y</p>", [2, 0, 1], True),
    "swapped pairs in JSON": ("json", '["a <0>x</0> and [b]y[/b] z"]', [2, 3, 0, 1], True),
    "end tag before its start tag in JSON": ("json", '["a <0>x</0> and y"]', [1, 0], False),
    "BB code in JSON": ("json", '["a [b]x[/b] and y"]', [1, 0], False),
    "tags in braces": ("json", '["a {b}x{/b} and {n} y"]', [1, 0, 2], False),
    "name between tags in braces": ("json", '["a {b}x {n} z{/b} and y"]', [0, 1, 2], True),
    "swapped pairs in Markdown": ("md", "a <b>x</b> and <i>y</i> z\n", [2, 3, 0, 1], True),
    "end tag before its start tag in Markdown": ("md", "a <b>x</b> and y\n", [1, 0], False),
    "tags in code spans": ("md", "a `</b>` x `<b>` and y\n", [1, 0], True),
    "end tag before its start tag in a subtitle": (
        "srt", "1\n00:00:01,000 --> 00:00:02,000\nA <b>x</b> and y\n", [1, 0], False,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("format", "text", "order", "is_valid"), ORDERS.values(), ids=ORDERS)
def test_tags_can_move_if_they_still_match(
    format: Format, text: str, order: list[int], is_valid: bool
) -> None:
    document = parse(text, format)
    (segment,) = document.segments
    spans = [part for part in segment.parts if isinstance(part, ProtectedSpan)]
    indexes = iter(order)
    parts = [spans[next(indexes)] if isinstance(p, ProtectedSpan) else p for p in segment.parts]
    fault = document.find_fault(segment, parts)
    assert (fault is None) is is_valid, fault
    assert document.compare(rewrite(document, {0: parts})) is None


@pytest.mark.parametrize(
    ("text", "protected"),
    [
        ("Hi {name}, {0} and {{ x }} in ${HOME}", ["{name}", "{0}", "{{ x }}", "${HOME}"]),
        ("%s of %(n)d, %1$s, %.2f and %%", ["%s", "%(n)d", "%1$s", "%.2f", "%%"]),
        ("50 % of it, 100%, 5% discount", []),
        ("See https://x.org/a?b=c. Or www.x.org, please", ["https://x.org/a?b=c", "www.x.org"]),
        ("Mail a.b+c@x.co.uk now", ["a.b+c@x.co.uk"]),
        ("a < b and c > d, <b>x</b>", ["<b>", "</b>"]),
        ("参见https://x.org/a。好", ["https://x.org/a"]),
        ("$5 and $HOME", ["$HOME"]),
        (
            "%.*s %<PRIu64> %<name>s %{x} #{y} $USER$",
            [
                "%.*s",
                "%<PRIu64>",
                "%<name>s",
                "%{x}",
                "#{y}",
                "$USER$",
            ],
        ),
        ("Please <0>sign in</0> or <1/>", ["<0>", "</0>", "<1/>"]),
        (
            "$t(menu.file), { x | date }, {n, number}",
            ["$t(menu.file)", "{ x | date }", "{n, number}"],
        ),
        (
            "打开https://example.org/a获取，www.x.org上的ftp://x.org/b",
            [
                "https://example.org/a",
                "www.x.org",
                "ftp://x.org/b",
            ],
        ),
        ("见 https://zh.wikipedia.org/wiki/中国 一文", ["https://zh.wikipedia.org/wiki/中国"]),
        (
            "https://例え.jp/路径 text, 看https://例え.jp的",
            ["https://例え.jp/路径", "https://例え.jp"],
        ),
        ("(https://例子.中国/a?b=c). Then", ["https://例子.中国/a?b=c"]),
        (
            "https://de.wikipedia.org/wiki/Köln_(Stadt), https://x.org/{id}",
            [
                "https://de.wikipedia.org/wiki/Köln_(Stadt)",
                "https://x.org/{id}",
            ],
        ),
        (
            "발송: help@example.org로, https://example.org/a를",
            [
                "help@example.org",
                "https://example.org/a",
            ],
        ),
        ("如果a<b并且c>d", []),
        ("{this is a remark, not a placeholder} and {x, yes or no}", []),
        ("az 50%-a, 10%-e és 5%os", []),
        ("profile:settings, US$5, 5€", []),
    ],
)
def test_protected_spans_of_a_text(text: str, protected: list[str]) -> None:
    parts = split_parts(text)
    assert [part.source for part in parts if isinstance(part, ProtectedSpan)] == protected
    assert "".join(part if isinstance(part, str) else part.source for part in parts) == text


@pytest.mark.parametrize(
    ("name", "text", "format"),
    [
        ("a.MD", "x", "md"),
        ("a.pot", "x", "po"),
        ("a.arb", "{}", "json"),
        (None, "WEBVTT\n", "vtt"),
        (None, "1\n00:00:01,000 --> 00:00:02,000\nHi\n", "srt"),
        (None, "1\n-00:00:01:000 --> 00:00:02:000\nHi\n", "srt"),
        (None, 'msgid ""\nmsgstr ""\n', "po"),
        (None, "<!DOCTYPE html>\n<p>x", "html"),
        (None, "<div><p>x</p></div>", "html"),
        (None, '{"a": "b"}', "json"),
        (None, "{not json}", "txt"),
        (None, "# Title\n\nText.\n", "md"),
        (None, "Use `ls` and **bold**.", "md"),
        (None, "5 * 3 - 2 is 13. That is * one star *.", "txt"),
        (None, "Dear all,\n\n- one\n- two\n\nBye", "txt"),
        ("footnotes", "Plain words.", "txt"),
    ],
)
def test_format_is_detected_by_name_and_content(name: str | None, text: str, format: str) -> None:
    assert detect(name, text) == format


def test_source_code_is_rejected() -> None:
    with pytest.raises(UsageError, match=r"a\.py is source code, which a translation would break"):
        detect("a.py", "x = 1")


@pytest.mark.parametrize(
    ("format", "text", "message"),
    [
        ("srt", "Hello\n", "line 1: no timing found"),
        ("srt", "Hello\n1\n00:00:01,000 --> 00:00:02,000\nHi\n", "line 1: text without a timing"),
        ("srt", "1\n00:00:01,000 --> 00:00:02,000\nHi\n\n2\n00:00:xx --> 00:00:04\nHo\n", "line 6"),
        ("vtt", "Hello\n", "line 1"),
        ("po", "hello", "line 1"),
        ("po", 'msgid "a"\nmsgstr "b\n', "line 2"),
        ("json", '{"a": 1,}', "line 1, column [89]"),  # 3.13 points at the comma
        ("json", '{\n"a" 1}', "line 2, column 5"),
        ("json", "[" * 100_000, "nested more than 400 levels"),
    ],
)
def test_syntax_errors_name_the_line(format: Format, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse(text, format)


# Lines

WORDS = st.text(alphabet="abc 图書。, é", max_size=80)


@given(WORDS, st.integers(1, 30))
def test_wrap_loses_only_spaces_at_line_breaks(text: str, columns: int) -> None:
    wrapped = wrap(text, columns)
    assert "".join("".join(wrapped).split()) == "".join(text.split())
    assert all(display_width(line) <= columns or " " not in line.strip() for line in wrapped)


@given(WORDS.filter(str.strip), st.integers(1, 4))
def test_balance_returns_at_most_the_requested_lines(text: str, n: int) -> None:
    balanced = balance(text.strip(), n)
    assert 1 <= len(balanced) <= n
    assert "".join("".join(balanced).split()) == "".join(text.split())


@pytest.mark.parametrize("length", [500, 4000])
def test_balance_tries_few_widths_for_long_words(
    length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    fill = lines._fill

    def count(pieces: list[str], columns: int) -> list[str]:
        calls.append(columns)
        return fill(pieces, columns)

    monkeypatch.setattr(lines, "_fill", count)
    words = ["a" * length, "b" * length, "c" * length]
    assert balance(" ".join(words), 2) == [f"{words[0]} {words[1]}", words[2]]
    assert len(calls) < 20


def test_join_lines_adds_no_space_between_wide_characters() -> None:
    assert join_lines(["a", "b", "図", "書", "c"]) == "a b 図書 c"


# Unchanged segments

MARKDOWN = [
    "# ",
    "a",
    "word ",
    "\n",
    "\n\n",
    "- ",
    "  ",
    "> ",
    "`",
    "```\n",
    "|",
    "|-|-|\n",
    "*",
    "**",
    "[",
    "](u)",
    "[x]: u\n",
    "<b>",
    "\\",
    "&amp;",
    "$",
    "1. ",
    "图",
    "\r\n",
    "\t",
    "---\n",
    "![",
    "{x}",
    "~~",
    "===\n",
    "[^1]: ",
    "[x] ",
]
HTML = [
    "<p>",
    "</p>",
    "<b>",
    "<",
    ">",
    "&amp;",
    "&",
    "word ",
    "<!--",
    "-->",
    "<script>",
    "</script>",
    '"',
    "<a title='",
    "<br/>",
    "\n",
    "é",
    '<img alt="x y">',
    "<pre>",
    "</pre>",
    "<li>",
]
PLAIN = [
    "word ",
    "\n",
    "\r\n",
    "- ",
    "  ",
    "> ",
    "{x}",
    "图。",
    "42",
    "\t",
    "x" * 50,
    "\x0b",
    "\u2028",
]


def identity(format: Format, pieces: list[str]) -> Callable[[], None]:
    @given(st.lists(st.sampled_from(pieces), max_size=30).map("".join))
    def check(text: str) -> None:
        try:
            document = parse(text, format)
        except InputError:
            return
        parts: dict[int, tuple[Part, ...]] = {i: s.parts for i, s in enumerate(document.segments)}
        assert rewrite(document, parts) == text
        assert document.compare(text) is None
        assert all(document.find_fault(s, s.parts) is None for s in document.segments)
        assert find_unaccounted(document) == []

    return check


test_random_markdown_is_unchanged = identity("md", MARKDOWN)
test_random_html_is_unchanged = identity("html", HTML)
test_random_text_is_unchanged = identity("txt", PLAIN)


VALUES = st.recursive(
    st.one_of(
        st.text(max_size=12),
        st.integers(),
        st.none(),
        st.sampled_from(
            ["Two words", "a_b", "{x} | y", "{n, plural, other {# x}}", "请在3天", "OK"]
        ),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(VALUES, st.booleans(), st.sampled_from([None, 2]))
def test_random_json_is_unchanged_and_its_values_can_be_replaced(
    value: object, ascii: bool, indent: int | None
) -> None:
    text = json.dumps(value, ensure_ascii=ascii, indent=indent)
    document = parse(text, "json")
    own = {i: segment.parts for i, segment in enumerate(document.segments)}
    assert rewrite(document, own) == text
    assert find_unaccounted(document) == []
    changed = rewrite(document, {i: ('New "text"\n',) for i in own})
    assert document.compare(changed) is None
    assert changed.count("New ") >= len(own)
