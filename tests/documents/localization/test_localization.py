"""Files with the texts of programs: what is translated, how it is written, and hostile files."""

from __future__ import annotations

import builtins
import decimal
import json
import re
from pathlib import Path
from typing import Any

import javaproperties
import openstep_plist
import pytest
from documents.rewriting import rewrite
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from llmtool.documents.accounting import count_protected, find_unsupported
from llmtool.documents.formats import detect, parse
from llmtool.documents.localization.plural_forms import categories_of
from llmtool.documents.localization.properties import _entries
from llmtool.documents.types import Document, Format, Mark, Part, ProtectedSpan, Segment
from llmtool.documents.xml_source import Xml
from llmtool.errors import InputError, UsageError, install_command

CORPUS = Path(__file__).parents[1] / "corpus"


def shown(document: Document) -> list[str]:
    """The segments, with protected spans in angle quotes."""
    return [
        "".join(part if isinstance(part, str) else f"‹{part.source}›" for part in segment.parts)
        for segment in document.segments
    ]


def unit(text: str, version: str = "1.2") -> str:
    return f'<xliff version="{version}"><file><body>{text}</body></file></xliff>'


def string(text: str) -> str:
    return f'<resources><string name="a">{text}</string></resources>'


def message(text: str) -> str:
    return f"<TS><context><message>{text}</message></context></TS>"


SEGMENTS: dict[str, tuple[Format, str, list[str]]] = {
    "XLIFF tags and native code": (
        "xliff",
        unit(
            '<trans-unit id="a"><source>A <g id="1">big</g> <ph id="2">&lt;br&gt;</ph> day &amp; '
            "night</source></trans-unit>"
        ),
        ['A ‹<g id="1">›big‹</g>› ‹<ph id="2">&lt;br&gt;</ph>› day & night'],
    ),
    "XLIFF escaped tags": (
        "xliff",
        unit(
            '<trans-unit><source>A <x id="1"/>&lt;b&gt;big&lt;/b&gt; &amp; %s</source></trans-unit>'
            "<trans-unit><source>See &lt;br/&gt; {n, plural, one {&lt;i&gt;a&lt;/i&gt;} other {b}}"
            "</source></trans-unit>"
        ),
        [
            'A ‹<x id="1"/>›‹&lt;b&gt;›big‹&lt;/b&gt;› & ‹%s›',
            "See ‹&lt;br/&gt;› ‹{n, plural, one {›‹&lt;i&gt;›a‹&lt;/i&gt;›‹} other {›b‹}}›",
        ],
    ),
    "XLIFF units with a translation": (
        "xliff",
        unit(
            "<trans-unit><source>One</source><target>Eins</target></trans-unit>"
            '<trans-unit><source>Two</source><target state="new">Two</target></trans-unit>'
            '<trans-unit approved="yes"><source>Six</source><target state="new">Sechs</target>'
            "</trans-unit>"
            '<trans-unit translate="no"><source>Three</source></trans-unit>'
            '<group translate="no"><trans-unit><source>Four</source></trans-unit></group>'
        ),
        ["Two"],
    ),
    "XLIFF 2 segments": (
        "xliff",
        '<xliff version="2.0"><file id="f"><unit id="1"><segment state="initial"><source>One <pc '
        'id="1">big</pc> day</source></segment><segment state="final"><source>Two</source><target>'
        "Zwei</target></segment></unit></file></xliff>",
        ['One ‹<pc id="1">›big‹</pc>› day'],
    ),
    "Android escapes": (
        "android", string(r"It\'s \"so\"\nnow\u2026 \@me"), ['It\'s "so"\nnow… ‹@me›'],
    ),
    "Android characters outside of the BMP": ("android", string(r"Hi \ud83d\ude00"), ["Hi 😀"]),
    "Android placeholders": (
        "android",
        string('%1$s has <xliff:g id="n">%2$d</xliff:g> <b>new</b> &lt;i>mails&lt;/i>'),
        ['‹%1$s› has ‹<xliff:g id="n">%2$d</xliff:g>› ‹<b>›new‹</b>› ‹&lt;i&gt;›mails‹&lt;/i&gt;›'],
    ),
    "Android entities": (
        "android",
        f'<!DOCTYPE resources [<!ENTITY app "Reader">]>{string("Open &app; now")}',
        ["Open ‹&app;› now"],
    ),
    "Android values that are not messages": (
        "android",
        "<resources>"
        '<string name="a" translatable="false">Name</string><string name="b">@string/a</string>'
        '<string name="c">https://x.org/a</string><color name="d">white</color>'
        '<item name="e" type="id">text</item><string name="f">CANCEL</string></resources>',
        ["CANCEL"],
    ),
    "Qt messages": (
        "qt",
        message('<source>&amp;Open %1</source><translation type="unfinished"/>')
        + "<!-- -->",
        ["&Open ‹%1›"],
    ),
    "Qt numerus forms": (
        "qt",
        message(
            '<source>%n file(s)</source><translation type="unfinished"><numerusform></numerusform>'
            "<numerusform/></translation>"
        ),
        ["‹›‹%n› file(s)‹›‹%n› file(s)"],
    ),
    "Qt messages that are finished or obsolete": (
        "qt",
        message(
            "<source>Open</source><translation>Öffnen</translation></message><message>"
            '<source>Old</source><translation type="obsolete">Alt</translation>'
        ),
        [],
    ),
    "Apple strings": (
        "strings",
        '/* A "b" */\n"k" = "Hi \\"%@\\"\\n\\U2026"; // x\nkey = "No"; "u" = "https://x.org";\n',
        ['Hi "‹%@›"\n…', "No"],
    ),
    "properties": (
        "properties",
        "# c\na: One \\\n  two\\u2026\nb Two {0}\nc=com.example.Name\nd=\ne=CANCEL",
        ["One two…", "Two ‹{0}›", "CANCEL"],
    ),
    "apostrophes of MessageFormat": (
        "properties",
        "a=It''s '{0}' of {0}\nb=It''s\n",
        ["It's ‹'{0}'› of ‹{0}›", "It''s"],
    ),
}  # fmt: skip


def test_segments_of_the_source_are_those_of_the_target() -> None:
    divided = "<mrk mtype='seg' mid='1'>One.</mrk> <mrk mtype='seg' mid='2'>Two.</mrk>"
    start = f"<trans-unit><source>One. Two.</source><seg-source>{divided}</seg-source>"
    empty = re.sub("(?<=>)[^<> ]+", "", divided)
    target = f'<target state="translated">{divided.upper()}</target>'.replace("MRK", "mrk")
    target = target.replace("MTYPE='SEG' MID", "mtype='seg' mid")
    for before in ("", "<target/>", f"<target>{empty}</target>"):
        document = parse(unit(f"{start}{before}</trans-unit>"), "xliff")
        (segment,) = document.segments
        upper = tuple(
            part if isinstance(part, ProtectedSpan) else part.upper() for part in segment.parts
        )
        output = rewrite(document, {0: upper})
        assert output == unit(f"{start}{target}</trans-unit>")
        assert document.compare(output) is None
    assert not parse(unit(f"{start}<target>{divided}</target></trans-unit>"), "xliff").segments


@pytest.mark.parametrize(("format", "text", "segments"), SEGMENTS.values(), ids=SEGMENTS)
def test_segments_of_each_format(format: Format, text: str, segments: list[str]) -> None:
    assert shown(parse(text, format)) == segments


WRITTEN: dict[str, tuple[Format, str, list[str], str]] = {
    "missing target": (
        "xliff",
        unit("\n  <trans-unit>\n    <source>One</source>\n  </trans-unit>"),
        ["<Eins> & so"],
        unit(
            "\n  <trans-unit>\n    <source>One</source>\n    "
            '<target state="translated">&lt;Eins&gt; &amp; so</target>\n  </trans-unit>'
        ),
    ),
    "target after seg-source": (
        "xliff",
        unit("<trans-unit><source>One</source><seg-source>One</seg-source></trans-unit>"),
        ["Eins"],
        unit(
            "<trans-unit><source>One</source><seg-source>One</seg-source>"
            '<target state="translated">Eins</target></trans-unit>'
        ),
    ),
    "empty target": (
        "xliff",
        unit("<trans-unit><source>One</source><target/></trans-unit>"),
        ["Eins"],
        unit(
            '<trans-unit><source>One</source><target state="translated">Eins</target></trans-unit>'
        ),
    ),
    "target with a prefix": (
        "xliff",
        "<x:xliff xmlns:x='u'><x:file><x:body><x:trans-unit><x:source>One</x:source></x:trans-unit>"
        "</x:body></x:file></x:xliff>",
        ["Eins"],
        "<x:xliff xmlns:x='u'><x:file><x:body><x:trans-unit><x:source>One</x:source>"
        '<x:target state="translated">Eins</x:target></x:trans-unit></x:body></x:file></x:xliff>',
    ),
    "XLIFF 2 state": (
        "xliff",
        '<xliff version="2.0"><file><unit><segment id="a" state="initial" subState="x:y">'
        "<source>One</source><target/></segment></unit></file></xliff>",
        ["Eins"],
        '<xliff version="2.0"><file><unit><segment id="a" state="translated"><source>One'
        "</source><target>Eins</target></segment></unit></file></xliff>",
    ),
    "Android escapes": (
        "android",
        string("One two"),
        ["@it's \"a\"\n<b> & \\ 😀"],
        string("\\@it\\'s \\\"a\\\"\\n&lt;b&gt; &amp; \\\\ 😀"),
    ),
    "Qt message": (
        "qt",
        message('<source>One</source>\n<translation type="unfinished"></translation>'),
        ['"Eins" & <2>'],
        message(
            "<source>One</source>\n<translation>&quot;Eins&quot; &amp; &lt;2&gt;</translation>"
        ),
    ),
    "Apple strings": ("strings", '"a" = "One";\n', ['"é"\n\\'], '"a" = "\\"é\\"\\n\\\\";\n'),
    "ASCII properties": ("properties", "a = One\n", [" für\n\\ 😀"],
                         "a = \\ f\\u00fcr\\n\\\\ \\ud83d\\ude00\n"),
    "UTF-8 properties": ("properties", "# ü\na = One\n", ["für"], "# ü\na = für\n"),
    "continued properties": ("properties", "a = One \\\r\n   two\r\nb=c d\r\n", ["Eins", "x"],
                             "a = Eins\r\nb=x\r\n"),
    "apostrophes of MessageFormat": ("properties", "a=One {0}\nb=One\n", ["L'un", "L'un"],
                                     "a=L''un\nb=L'un\n"),
}  # fmt: skip


@pytest.mark.parametrize(("format", "text", "new", "written"), WRITTEN.values(), ids=WRITTEN)
def test_translations_are_written_in_the_syntax_of_the_format(
    format: Format, text: str, new: list[str], written: str
) -> None:
    document = parse(text, format)
    translations = {i: (each,) for i, each in enumerate(new)}
    assert rewrite(document, translations) == written
    assert document.compare(written) is None


TARGETS: dict[str, tuple[Format, str, str]] = {
    "XLIFF 1.2": (
        "xliff",
        '<xliff version="1.2"><file source-language="en"/><file target-language="fr"/></xliff>',
        '<xliff version="1.2"><file source-language="en" target-language="pt-BR"/>'
        '<file target-language="pt-BR"/></xliff>',
    ),
    "XLIFF 2": (
        "xliff", '<xliff version="2.1" srcLang="en"/>',
        '<xliff version="2.1" srcLang="en" trgLang="pt-BR"/>',
    ),
    "Qt": ("qt", '<TS version="2.1" language="de_DE"/>', '<TS version="2.1" language="pt_BR"/>'),
    "Qt without a language": ("qt", "<TS></TS>", '<TS language="pt_BR"></TS>'),
    "HTML": (
        "html",
        "<HTML LANG=en><meta http-equiv='Content-Language' content='en-US'><body lang='en'><p>One "
        "<q lang='la'>ave</q>",
        "<HTML LANG=pt-BR><meta http-equiv='Content-Language' content='pt-BR'><body lang='pt-BR'>"
        "<p>One <q lang='la'>ave</q>",
    ),
    "XHTML": (
        "html", '<html xml:lang="en" lang="en"><p>One', '<html xml:lang="pt-BR" lang="pt-BR"><p>One'
    ),
    "HTML with the language of a template": (
        "html", '<html lang="{{ lang }}"><p>One', '<html lang="{{ lang }}"><p>One',
    ),
    "HTML without a language": ("html", "<html><p>One", "<html><p>One"),
}  # fmt: skip


@pytest.mark.parametrize(("format", "text", "written"), TARGETS.values(), ids=TARGETS)
def test_target_language_is_declared(format: Format, text: str, written: str) -> None:
    document = parse(text, format, to="pt-BR")
    assert rewrite(document, {}) == written
    assert document.compare(written) is None
    assert rewrite(parse(text, format), {}) == text


@pytest.mark.parametrize(
    ("to", "text", "written"),
    [
        ("ar", "<html lang=en><p>One", '<html dir="rtl" lang=ar><p>One'),
        ("fa", "<!doctype html><HTML><p>One", '<!doctype html><HTML dir="rtl"><p>One'),
        ("he", '<html dir="ltr"><p>One', '<html dir="rtl"><p>One'),
        ("de", '<html lang="ar" dir="rtl"><p>One', '<html lang="de" dir="ltr"><p>One'),
        ("ur", "<html dir=auto><p>One", "<html dir=auto><p>One"),
        ("ar", '<p dir="ltr">One', '<p dir="ltr">One'),
        ("uz-Arab", "<html><body dir=ltr>One", '<html dir="rtl"><body dir=rtl>One'),
    ],
)
def test_page_has_the_direction_of_the_target_language(to: str, text: str, written: str) -> None:
    document = parse(text, "html", to=to)
    assert rewrite(document, {}) == written
    assert document.compare(written) is None


def test_more_exact_language_remains() -> None:
    source = '<TS language="de_AT"></TS>'
    assert parse(source, "qt", to="de").source == source


def test_mark_for_review_in_xliff() -> None:
    source = unit("<trans-unit><source>One</source></trans-unit>")
    output = rewrite(parse(source, "xliff", mark="fuzzy"), {0: ("Eins",)})
    assert '<target state="needs-review-translation">Eins</target>' in output
    source = (
        '<xliff version="2.0"><file><unit><segment><source>One</source></segment></unit></file>'
        "</xliff>"
    )
    output = rewrite(parse(source, "xliff", mark="fuzzy"), {0: ("Eins",)})
    assert '<segment state="translated" subState="llmtool:needs-review">' in output


def test_mark_for_review_in_qt() -> None:
    source = message('<source>One</source><translation type="unfinished"/>')
    output = rewrite(parse(source, "qt", mark="fuzzy"), {0: ("Eins",)})
    assert output == source.replace("/></message", ">Eins</translation></message")


def write_forms(document: Document) -> str:
    """Write the notes of the first segment's plural forms as its translation."""
    segment = document.segments[0]
    forms = []
    for part in segment.parts:
        if isinstance(part, ProtectedSpan) and part.note:
            forms += [part, part.note.removeprefix("plural form for the number ") + " "]
        elif isinstance(part, ProtectedSpan):
            forms.append(part)
    assert document.find_fault(segment, forms) is None
    output = rewrite(document, {0: forms})
    assert document.compare(output) is None
    return output


PLURALS = (
    '<resources><plurals name="files">\n  <item quantity="one">%d file</item>\n  <!-- c -->\n  '
    '<item quantity="other">%d files</item>\n</plurals></resources>'
)


def test_android_plurals_get_the_forms_of_the_target_language() -> None:
    assert re.findall(r'"(\w+)">(.*?)<', write_forms(parse(PLURALS, "android", to="ru"))) == [
        ("one", "1 %d"), ("few", "2 %d"), ("many", "5 %d"), ("other", "1.5 %d"),
    ]  # fmt: skip
    assert write_forms(parse(PLURALS, "android", to="ja")) == (
        '<resources><plurals name="files">\n  <item quantity="other">2 %d</item>\n  <!-- c -->\n'
        "</plurals></resources>"
    )


def test_android_form_for_several_numbers_has_the_placeholder() -> None:
    source = PLURALS.replace(">%d file<", ">One file<")
    forms = re.findall(r'"(\w+)">(.*?)<', write_forms(parse(source, "android", to="ru")))
    assert forms[0] == ("one", "21 %d")
    forms = re.findall(r'"(\w+)">(.*?)<', write_forms(parse(source, "android", to="de")))
    assert forms == [("one", "1 "), ("other", "2 %d")]


@pytest.mark.parametrize("code", ["de", "ja", "ru", "ar", "cy", "lv", "fr"])
def test_plural_forms_are_those_of_babel(code: str) -> None:
    rules = pytest.importorskip("babel").Locale(code).plural_form
    found = categories_of(code)
    assert set(found) == {*rules.rules, "other"}
    for name, (number, _) in found.items():
        if name != "many" or number != "1000000":
            assert rules(decimal.Decimal(number)) == name


def test_qt_numerus_forms_are_those_of_the_target_language() -> None:
    source = message(
        '<source>%n file(s)</source><translation type="unfinished">\n <numerusform></numerusform>'
        "\n <numerusform/>\n</translation>"
    )
    forms = r"<numerusform>(.*?)</numerusform>"
    assert re.findall(forms, write_forms(parse(source, "qt", to="pl"))) == ["1 %n", "2 %n", "5 %n"]
    assert re.findall(forms, write_forms(parse(source, "qt", to="tr"))) == ["2 %n"]
    assert write_forms(parse(source, "qt")).endswith(
        "<translation>\n <numerusform>1 %n</numerusform>\n <numerusform>2 %n</numerusform>\n"
        "</translation></message></context></TS>"
    )


# A source, a reply that is rejected, and the fault.
FAULTS: dict[str, tuple[Format, str, str, str]] = {
    "Qt number": ("qt", message('<source>Open %1</source><translation type="unfinished"/>'),
                  "Öffne %2 ", "has the placeholder %2"),
    "Apple variable": ("strings", '"a" = "Open %@";', "", "is empty"),
    "tags": ("android", string("One <b>big</b> day"), "Ein <b>Tag", "no longer match"),
}  # fmt: skip


@pytest.mark.parametrize(("format", "text", "reply", "fault"), FAULTS.values(), ids=FAULTS)
def test_replies_that_change_the_syntax_of_a_message_are_faults(
    format: Format, text: str, reply: str, fault: str
) -> None:
    document = parse(text, format)
    before, _, after = reply.partition("<b>")
    parts = [before, ProtectedSpan("<b>"), after] if after else [before]
    assert fault in str(document.find_fault(document.segments[0], parts))


# The percent sign is text in a message without arguments, and escaped in one with arguments.
PERCENT: dict[str, tuple[Format, str, list[str], str, str]] = {
    "Android": ("android", string("100%% of %1$,d"), ["‹%1$,d›"], "100 % ", "100 %% "),
    "Android without arguments": ("android", string("100% sure"), [], "100 % ", "100 % "),
    "Apple": ("strings", '"a" = "5%% of %1$@";', ["‹%1$@›"], "5 % ", "5 %% "),
    "Apple variable": ("strings", '"a" = "All %#@files@";', ["‹%#@files@›"], "5 % ", "5 %% "),
    "Java": ("properties", "a = 5%% of %tF", ["‹%tF›"], "5 % ", "5 %% "),
}  # fmt: skip


@pytest.mark.parametrize(
    ("format", "text", "spans", "reply", "written"), PERCENT.values(), ids=PERCENT
)
def test_percent_signs(
    format: Format, text: str, spans: list[str], reply: str, written: str
) -> None:
    document = parse(text, format)
    found = [part for part in document.segments[0].parts if isinstance(part, ProtectedSpan)]
    assert [f"‹{part.source}›" for part in found] == spans
    output = rewrite(document, {0: (reply, *found)})
    assert written + "".join(part.source for part in found) in output
    assert document.compare(output) is None


@pytest.mark.parametrize(("format", "mark"), [("md", "fuzzy"), ("xliff", "comment")])
def test_mark_is_for_formats_that_have_it(format: Format, mark: Mark) -> None:
    formats = {"fuzzy": "po, xliff, qt", "comment": "po"}[mark]
    with pytest.raises(
        UsageError, match=f"mark='{mark}': is supported for {formats}, not {format}"
    ):
        parse("Text", format, mark=mark)


def test_text_in_a_cdata_section_is_not_escaped_as_xml() -> None:
    document = parse(string("<![CDATA[One two]]>"), "android")
    opens, _, closes = document.segments[0].parts
    output = rewrite(document, {0: (opens, "It's <b> ]]> & 2", closes)})
    assert output == string("<![CDATA[It\\'s <b> ]]]]><![CDATA[> & 2]]>")
    assert document.compare(output) is None


def reverse_words(segment: Segment) -> tuple[Part, ...]:
    return tuple(
        " ".join(reversed(part.split(" "))) if isinstance(part, str) else part
        for part in segment.parts
    )


def reversed_text(name: str) -> tuple[str, str]:
    source = (CORPUS / name).read_bytes().decode()
    document = parse(source, detect(name, source))
    output = rewrite(document, {i: reverse_words(s) for i, s in enumerate(document.segments)})
    assert output != source
    assert document.compare(output) is None
    return source, output


@pytest.mark.parametrize("name", ["strings.xml", "reader_de.ts", "app.xlf", "app20.xliff"])
def test_other_words_keep_the_elements_as_lxml_reads_them(name: str) -> None:
    def elements(text: str) -> list[tuple[Any, ...]]:
        return [
            (each.tag, *each.attrib.items())
            for each in etree.fromstring(text.encode()).iter(etree.Element)
            if etree.QName(each).localname not in ("target", "translation", "segment")
            and not any(
                etree.QName(up).localname in ("target", "translation")
                for up in each.iterancestors()
            )
        ]

    source, output = reversed_text(name)
    assert elements(output) == elements(source)


def test_other_words_keep_the_keys_of_properties_and_strings() -> None:
    source, output = reversed_text("messages.properties")
    before, after = javaproperties.loads(source), javaproperties.loads(output)
    assert list(before) == list(after)
    assert (after["lines"], after["last"]) == (
        "three\nTwo\tOne".split("\t")[0] and after["lines"],
        "end The",
    )
    assert after["class"] == before["class"]
    source, output = reversed_text("Localizable.strings")
    before, after = openstep_plist.loads(source), openstep_plist.loads(output)
    assert list(before) == list(after)
    assert after['Cancel the "order"'] == '"order" the Cancel'


@pytest.mark.parametrize(
    ("name", "text", "format"),
    [
        ("values/strings.xml", string("a"), "android"),
        ("app_de.ts", "<?xml version='1.0'?>\n<!DOCTYPE TS>\n<TS></TS>", "qt"),
        ("a.XLIFF", "", "xliff"),
        ("Localizable.strings", "", "strings"),
        ("a.properties", "", "properties"),
        (None, '<?xml version="1.0"?><!-- x --><xliff></xliff>', "xliff"),
        (None, "<!-- a -->\n<resources>\n</resources>", "android"),
        (None, '/* c */\n"a" = "b";\n', "strings"),
        (None, '"He said" = "no" to it', "txt"),
    ],
)
def test_format_is_detected_by_name_and_content(
    name: str | None, text: str, format: Format
) -> None:
    assert detect(name, text) == format


@pytest.mark.parametrize("name", ["a.ts", "layout.xml"])
def test_typescript_and_other_xml_are_rejected(name: str) -> None:
    with pytest.raises(UsageError, match=f"{name} is source code"):
        detect(name, "<LinearLayout/>" if name.endswith("xml") else "let x: number = 1;")


NESTED_ENTITIES = '<!DOCTYPE x [<!ENTITY a "haha"><!ENTITY b "&a;&a;">]>'


@pytest.mark.parametrize(
    ("format", "text", "error"),
    [
        ("xliff", "<xliff><file></xliff>", "line 1, column 16: not well-formed XML: mismatched"),
        ("xliff", "", "line 1, column 1: not well-formed XML: no element found"),
        ("xliff", "<html/>", "line 1: not an XLIFF file; it has no <xliff>"),
        ("android", "<x/>", "line 1: not an Android resource file; it has no <resources>"),
        ("qt", "<x/>", "line 1: not a Qt Linguist file; it has no <TS>"),
        ("android", NESTED_ENTITIES + string("&b;"), "line 1: the entity b contains others"),
        ("android", f'<!DOCTYPE x [<!ENTITY a "{"ha" * 5000}">]>{string("&a;")}', "very long"),
        ("android", f'<!DOCTYPE x [<!ENTITY a SYSTEM "/etc/x">]>{string("&a;")}', "in another"),
        ("android", f'<!DOCTYPE x [<!ENTITY % a "b">]>{string("c")}', "the entity a contains"),
        ("android", string("&unknown;"), "undefined entity"),
        ("android", "<resources>" + "<a>" * 500 + "</a>" * 500 + "</resources>", "400 levels"),
        ("qt", '<?xml version="1.0" encoding="ISO-8859-1"?><TS/>', "the encoding ISO-8859-1"),
        ("strings", '"a" = "b"\n"c" = "d";', "line 2: not a valid strings file"),
        ("strings", "(a, b)", "line 1: expected .key. = .value.; or a comment"),
        ("strings", '"a" = "b', 'line 1: expected "key" = "value"; or a comment'),
        ("properties", "a = b\nc = \\u12x4\n", r"line 2: invalid escape \\u12x4"),
    ],
)  # fmt: skip
def test_invalid_and_hostile_files_are_one_line_errors(
    format: Format, text: str, error: str
) -> None:
    with pytest.raises(InputError, match=error) as raised:
        parse(text, format)
    assert "\n" not in str(raised.value)


def test_choice_formats_are_translated_form_by_form() -> None:
    document = parse("a=There {0,choice,0#are none|1#isn''t one}.\nb=Yes\n", "properties")
    assert shown(document)[0] == "There ‹{0,choice,0#›are none‹|1#›isn't one‹}›."
    limits = document.segments[0].parts[1::2]
    texts = ["Il ", "n'y a rien", "y a l'un", "."]
    parts = [each for pair in zip(texts, (*limits, ""), strict=True) for each in pair if each]
    assert rewrite(document, {0: parts}).startswith(
        "a=Il {0,choice,0#n\\u2019y a rien|1#y a l\\u2019un}."
    )
    parts[2] = "rien|tout"
    assert document.find_fault(document.segments[0], parts) is not None


def test_choice_formats_with_invalid_syntax_are_reported() -> None:
    document = parse("a=There {0,choice,are none}.\nb=Yes\n", "properties")
    assert [each.reason for each in find_unsupported(document)] == [
        "the syntax of the ICU message is not supported"
    ]


FILES = "{n, plural, one {# file} other {# files}}"


@pytest.mark.parametrize(
    ("format", "source"),
    [
        ("properties", f"a={FILES}"),
        ("json", json.dumps({"a": FILES})),
        ("po", f'msgid ""\nmsgstr ""\n\nmsgid "{FILES}"\nmsgstr ""\n'),
        ("android", string(FILES)),
        ("xliff", unit(f"<trans-unit id='1'><source>{FILES}</source></trans-unit>")),
        ("xliff", unit(f"<trans-unit id='1'><source>{FILES} <x id='1'/></source></trans-unit>")),
    ],
)  # fmt: skip
def test_icu_messages_get_the_plural_forms_of_the_language(format: Format, source: str) -> None:
    document = parse(source, format, to="pl")
    parts = document.segments[0].parts
    written = [part.upper() if isinstance(part, str) else part for part in parts]
    assert document.find_fault(document.segments[0], written) is None
    output = rewrite(document, {0: written})
    forms = " ".join(f"{name} {{# {text}}}" for name, text in (
        ("one", "FILE"), ("few", "FILES"), ("many", "FILES"), ("other", "FILES")
    ))  # fmt: skip
    assert f"{{n, plural, {forms}}}" in output
    assert document.compare(output) is None
    assert document.segments[0].is_atomic


@pytest.mark.parametrize(
    ("source", "translated"),
    [
        ('<![CDATA[Read the <a href="https://x.org/it">terms</a>.]]>',
         '<![CDATA[READ THE <a href="https://x.org/it">TERMS</a>.]]>'),
        (r'Read the &lt;a href=\"https://x.org\"&gt;terms&lt;/a&gt;.',
         r'READ THE &lt;a href=\"https://x.org\"&gt;TERMS&lt;/a&gt;.'),
        ("\"Read  the &lt;font color='#fff'&gt;%1$s terms&lt;/font&gt;\"",
         "\"READ  THE &lt;font color='#fff'&gt;%1$s TERMS&lt;/font&gt;\""),
        (r"&lt;b&gt;it\'s&lt;/b&gt; a &lt;file&gt;", r"&lt;b&gt;IT\'S&lt;/b&gt; A &lt;FILE&gt;"),
        (r"write \\n", r"WRITE \\n"),
        (r"\@name and \?that", r"\@name AND ?THAT"),
        (r"\u0020a b\n", r"\u0020A B\n"),
    ],
)  # fmt: skip
def test_tags_and_escapes_in_android_are_protected_as_a_whole(source: str, translated: str) -> None:
    document = parse(string(source), "android")
    parts = document.segments[0].parts
    changed = [part.upper() if isinstance(part, str) else part for part in parts]
    assert rewrite(document, {0: changed}) == string(translated)


@pytest.mark.parametrize(
    ("format", "source"),
    [
        ("json", '{"a": "See &lt;a href=\\"u\\"&gt;the terms&lt;/a&gt; &amp; &lt;file&gt;."}'),
        ("po", 'msgid "See &lt;a href=\\"u\\"&gt;the terms&lt;/a&gt;."\nmsgstr ""\n'),
        ("strings", '"a" = "See &lt;a href=\\"u\\"&gt;the terms&lt;/a&gt;.";'),
    ],
)  # fmt: skip
def test_escaped_tags_are_protected_as_a_whole_and_stay_nested(format: Format, source: str) -> None:
    document = parse(source, format)
    (segment,) = document.segments
    spans = [part for part in segment.parts if isinstance(part, ProtectedSpan)]
    assert [each.source.replace("\\", "") for each in spans[:2]] == [
        '&lt;a href="u"&gt;', "&lt;/a&gt;"
    ]  # fmt: skip
    start, link, text, end, *rest = segment.parts
    assert document.find_fault(segment, [start, end, text, link, *rest]) is not None


def test_text_outside_of_the_messages_is_counted_by_reason() -> None:
    document = parse((CORPUS / "strings.xml").read_text(encoding="utf-8"), "android")
    counted = count_protected(document)
    assert {"tag", "comment", 'translatable="false"', "identifier"} <= set(counted)
    assert find_unsupported(document) == []


@pytest.mark.parametrize(
    ("library", "format", "extra"),
    [("javaproperties", "properties", "properties"), ("openstep_plist", "strings", "strings")],
)
def test_missing_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, library: str, format: Format, extra: str
) -> None:
    real_import = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == library:
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageError, match=re.escape(install_command(extra))):
        parse('"a" = "b";', format)


def test_xml_tokens_add_up_to_the_source() -> None:
    source = (
        '\ufeff<?xml version="1.0"?><!DOCTYPE a [<!-- ]> --><!ENTITY b "]>">]>'
        "<a b='>' c=\"/>\"><!-- <x> --><![CDATA[<y>]]>&b;<d/ ></a>\n"
    ).replace("/ >", "/>")
    xml = Xml(source)
    assert "".join(source[token.start : token.end] for token in xml.tokens) == source
    assert [element.tag for element in xml.elements] == ["a", "d"]
    assert xml.elements[0].attributes == {"b": ">", "c": "/>"}


@pytest.mark.parametrize(
    ("text", "format"),
    [
        ("<!-- a -->" * 2000 + "<p>", "txt"),
        ("/* a */" * 2000 + "x", "txt"),
        ("<!DOCTYPE x [" + "<!-- a -->" * 1000 + "]>" + "<TS>", "qt"),
        ("-" * 20_000, "txt"),
        ("[" * 20_000, "txt"),
        ("[a](" * 5000, "txt"),
    ],
    ids=["XML comments", "C comments", "document type", "dashes", "brackets", "links"],
)
def test_detection_takes_linear_time(text: str, format: Format) -> None:
    assert detect(None, text) == format


@pytest.mark.parametrize(
    "value", ["/" * 100_000, "_" * 100_000 + "!", "1:" * 50_000], ids=["/", "_", "1:"]
)
def test_long_values_take_linear_time(value: str) -> None:
    assert len(parse(f"a = {value}", "properties").segments) == 0
    assert len(parse(json.dumps({"a": value}), "json").segments) == 0


def test_entry_of_many_lines_is_parsed_in_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """javaproperties takes quadratic time for an entry of many lines."""
    parsed: list[str] = []
    plain = javaproperties.parse

    def record(text: str) -> Any:
        parsed.append(text)
        return plain(text)

    monkeypatch.setattr(javaproperties, "parse", record)
    (segment,) = parse("a = One" + " \\\n  two" * 50, "properties").segments
    assert segment.text == "One" + " two" * 50
    assert [text.count("\n") for text in parsed] == [1]


_SYNTAX = [
    "a",
    "=",
    ":",
    " ",
    "\t",
    "\\",
    "\n",
    "\r\n",
    "\r",
    "#",
    "!",
    "\\u0041",
    "\\\n",
    "é",
    "\\\\",
]


@given(st.lists(st.sampled_from(_SYNTAX), max_size=14).map("".join))
def test_entries_of_properties_are_those_of_the_library(text: str) -> None:
    try:
        expected = [(each.source, *_pair(each)) for each in javaproperties.parse(text)]
    except javaproperties.InvalidUEscapeError:
        with pytest.raises(InputError):
            parse(text, "properties")
    else:
        assert [(line, *_pair(each)) for _, line, each in _entries(text)] == expected


def _pair(entry: Any) -> tuple[str | None, str | None]:
    is_pair = isinstance(entry, javaproperties.KeyValue)
    return (entry.key, entry.value) if is_pair else (None, None)


@pytest.mark.parametrize(
    ("text", "format"), [('\\"' * 50_000, "json"), ('msgid "a"\n' + "\t" * 100_000 + "x", "po")]
)
def test_invalid_files_take_linear_time(text: str, format: Format) -> None:
    with pytest.raises(InputError, match="line 1, column 1|line 2"):
        parse(text, format)


def test_quotes_in_a_document_type_take_linear_time() -> None:
    doctype = "<!DOCTYPE a [" + "<!-- ' -->" * 200 + "<?x ' ]> ?>" + "<!ENTITY b ']>'>]>"
    xml = Xml(f"{doctype}<a>&b;</a>")
    assert [token.kind for token in xml.tokens] == ["doctype", "start", "text", "end"]


def test_long_numbers_in_json_are_preserved() -> None:
    source = f'{{"n": {"9" * 5000}, "text": "Hello there"}}'
    document = parse(source, "json")
    assert [segment.text for segment in document.segments] == ["Hello there"]
    assert document.compare(source.replace("Hello there", "Bonjour")) is None
    assert document.compare(source.replace("99", "98", 1)) == "keys or values differ"
