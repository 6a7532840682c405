"""Placeholders of messages: by syntax, by the flags of a catalog, and in ICU messages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtool.documents.localization.icu import split_icu
from llmtool.documents.localization.messages import (
    find_invented_placeholder,
    join_message,
    split_message,
)
from llmtool.documents.protected_spans import split_parts
from llmtool.documents.types import ProtectedSpan, join_parts


def spans(text: str, flags: list[str]) -> list[str]:
    parts = split_message(text, flags)
    assert join_message(parts, text, flags) == text
    return [part.source for part in parts if isinstance(part, ProtectedSpan)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Copy %1 files to %2 (%L3), %n left", ["%1", "%2", "%L3", "%n"]),
        ("Page %1% of %2%", ["%1%", "%2%"]),
        ("%sDate: %.*s %<PRIu64> %d%%", ["%s", "%.*s", "%<PRIu64>", "%d", "%%"]),
        ("Hi %{name}, :name and @:key.x", ["%{name}", ":name", "@:key.x"]),
        ("Open $t(menu.file) in $HOME", ["$t(menu.file)", "$HOME"]),
        ("Hello $USER$, you have $1 of $2", ["$USER$", "$1", "$2"]),
        ("It costs $5 or $1.50", []),
        ("@count of %total%, %user", ["@count", "%total%", "%user"]),
        ("a&nbsp;b, R&D", ["&nbsp;"]),
        ("[b]bold[/b] [url=x]y[/url] [sic]", ["[b]", "[/b]", "[url=x]", "[/url]"]),
        ("one apple | {n} apples", [" | ", "{n}"]),
        ("Use: %s [-a | -b] (x|y)", ["%s"]),
        ("a | b\nc | d", []),
        ("Press \\\\, <file> or SCHEMA[:PATH] @FILE", []),
        ("5% discount, 100%, 10:30, Note: this", []),
        ("%b %d, %Y", ["%b %d, %Y"]),
        ("%d of %s", ["%d", "%s"]),
        ("EEE, d MMM yyyy HH:mm", ["EEE, d MMM yyyy HH:mm"]),
        ("dddd, MMMM Do YYYY", ["dddd, MMMM Do YYYY"]),
        ("d 'at' HH:mm", ["d 'at' HH:mm"]),
        ("Add a day", []),
        ("12 mm", []),
        ("[_1] of [sic]", ["[_1]"]),
        ("[quant,_1,file,files] [numf,_2]", ["[quant,_1,", "[numf,_2]"]),
    ],
)
def test_placeholders_without_flags(text: str, found: list[str]) -> None:
    assert spans(text, []) == found


@pytest.mark.parametrize(
    ("flag", "text", "found"),
    [
        ("c-format", "%sDate: %.*s 100%% of%d", ["%s", "%.*s", "%d"]),
        ("c-format", "%s and %!", ["%s"]),  # invalid, as without the flag
        ("no-c-format", "100% s and %d {x}", ["{x}"]),
        ("python-format", "%(n)d of %%s", ["%(n)d"]),
        ("python-brace-format", "{{x}} {{{y}}} {z!r}", ["{y}", "{z!r}"]),
        ("python-brace-format", "{{x}} {y} {}", ["{y}", "{}"]),
        ("qt-format", "%1 of %L2, %s {x}", ["%1", "%L2"]),
        ("qt-plural-format", "%n file(s) and %Ln", ["%n", "%Ln"]),
        ("kde-format", "Open <filename>%1</filename>", ["<filename>", "%1", "</filename>"]),
        ("boost-format", "Page %1% of %2% %|3$s| %s", ["%1%", "%2%", "%|3$s|", "%s"]),
        ("java-format", "It''s {0}", ["{0}"]),
        ("sh-format", "$name and ${x}, %s", ["$name", "${x}"]),
        ("c-format", "Usage: %s <file> <b>x</b>", ["%s", "<b>", "</b>"]),
        ("unknown-format", "%s and %1", ["%s", "%1"]),
    ],
)
def test_flags_tell_what_is_a_placeholder(flag: str, text: str, found: list[str]) -> None:
    assert spans(text, [flag]) == found


@pytest.mark.parametrize(
    ("flag", "source", "translation", "written"),
    [
        ("c-format", "Half of %s", ["50 % von ", ProtectedSpan("%s")], "50 %% von %s"),
        ("python-brace-format", "Set of {x}", ["Menge {", ProtectedSpan("{x}")], "Menge {{{x}"),
        ("java-format", "Open {0}", ["Ouvrir l'", ProtectedSpan("{0}")], "Ouvrir l''{0}"),
        ("", "Half of %s", ["50 % von ", ProtectedSpan("%s")], "50 % von %s"),
        (
            "",
            "{n, plural, other {# of {x}}}",
            ["l'", ProtectedSpan("{x}"), "'"],
            "l''{x}'",
        ),
    ],
)
def test_text_is_escaped_for_its_format(
    flag: str, source: str, translation: list[str | ProtectedSpan], written: str
) -> None:
    assert join_message(translation, source, [flag]) == written


def test_placeholder_that_the_format_would_recognize_is_found() -> None:
    assert find_invented_placeholder(["5 von %2"], "%1 files", ["qt-format"]) == "%2"
    assert find_invented_placeholder(["5 % von %s"], "%d files", ["c-format"]) is None
    assert find_invented_placeholder(["5 von %2"], "files", []) is None


@pytest.mark.parametrize(
    ("text", "texts"),
    [
        ("{n, plural, offset:1 =0 {no one} other {# people}}", ["no one", " people"]),
        (
            "You have {n, plural, one {a file} other {# files}}.",
            ["You have ", "a file", " files", "."],
        ),
        (
            "{g, select, male {{n, plural, one {his file} other {his files}}} other {x '{y}' z}}",
            ["his file", "his files", "x ", " z"],
        ),
        ("{n, plural, one {it''s} other {don't}}", ["it''s", "don't"]),
        ("{0,choice,0#no files|1#one of {1}|1<{0} files}", ["no files", "one of ", " files"]),
        ("{0, choice, -1.5≤a '|' b|∞#{1,choice,0#c|1#d}} e", ["a ", " b", "c", "d", " e"]),
    ],
)
def test_texts_of_icu_messages(text: str, texts: list[str]) -> None:
    parts = split_icu(text)
    assert parts is not None and join_parts(parts) == text
    assert [part for part in parts if isinstance(part, str)] == texts


@pytest.mark.parametrize(
    ("text", "to", "completed"),
    [
        ("{n, plural, one {a} other {#}}", "ru",
         "{n, plural, one {#} few {#} many {#} other {#}}"),
        ("{n, plural, =0 {no}\n one {# a}\n other {b}}", "lv",
         "{n, plural, =0 {no}\n one {# a}\n zero {b}\n other {b}}"),
        ("{n, plural, one {a} other {#}}", "fr", "{n, plural, one {#} other {#}}"),
        ("{n, plural, =1 {a} other {#}}", "de", "{n, plural, =1 {a} other {#}}"),
        ("{n, plural, =1 {a} other {#}}", "lv",
         "{n, plural, =1 {a} zero {#} one {#} other {#}}"),
        ("{n, plural, one {a} other {#}}", "ja", "{n, plural, one {a} other {#}}"),
        ("{n, selectordinal, other {#th}}", "ru", "{n, selectordinal, other {#th}}"),
        ("{g, select, a {{n, plural, other {b}}} other {c}}", "pl",
         "{g, select, a {{n, plural, one {b} few {b} many {b} other {b}}} other {c}}"),
        ("{n, plural, other {{m, plural, other {b}}}}", "de",
         "{n, plural, one {{m, plural, other {b}}} other {{m, plural, other {b}}}}"),
    ],
)  # fmt: skip
def test_plural_forms_of_the_language_are_added(text: str, to: str, completed: str) -> None:
    assert join_parts(split_icu(text, to) or ()) == completed


@pytest.mark.parametrize(
    "text",
    [
        "{0,choice,0#a",
        "{0,choice,0#a|b}",
        "{0,choice,}",
        "{n, plural, one {a}",
        "{n, plural,}",
        "{n, plural, one {a}} }",
        "{n, plural, {" * 50,
    ],
)
def test_invalid_icu_messages(text: str) -> None:
    assert split_icu(text) is None


PIECES = st.sampled_from(
    ["%", "%%", "%s", "{", "}", "{{", "{x}", "'", "$1", ":a", "|", " ", "[b]", "[/b]", "<b>", "@",
     "{n, plural, ", "{n, choice, 0#", "|1<", "&lt;a&gt;", "one {",
     "word", "#", "字", "\\", "https://x.org/", "("]
)  # fmt: skip
FLAGS = st.sampled_from(
    ["", "c-format", "python-brace-format", "java-format", "qt-format", "no-c-format"]
)


@given(st.lists(PIECES, max_size=14).map("".join), FLAGS)
def test_random_messages_are_joined_again(text: str, flag: str) -> None:
    assert join_message(split_message(text, [flag]), text, [flag]) == text
    assert join_parts(split_parts(text)) == text


@pytest.mark.parametrize(
    "piece",
    ["{", "{{", "%(", "<", "<a ", "https://", "a@", "{n, plural, ", "' ", "''", " ", "|", "[b]",
     "/中",
     "(", "{a", "%1$", "<a '", "\\", "@:a.", "https://a(", "$t(", "&lt;a ", "{0,choice,0#a", "|1#"],
)  # fmt: skip
def test_hostile_messages_take_linear_time(piece: str) -> None:
    text = piece * 20_000
    assert join_message(split_message(text), text) == text
    assert join_parts(split_parts(text)) == text
