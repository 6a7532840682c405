"""gettext catalogs: plural forms, flags, headers and marks; judged by polib and `msgfmt -c`."""

from __future__ import annotations

import re
import shutil
import subprocess
import unicodedata
from collections.abc import Callable
from pathlib import Path

import polib
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmtool import Toolbox
from llmtool.documents.localization.catalogs import Catalog
from llmtool.documents.localization.plural_forms import header_of, parse_plural_forms
from llmtool.documents.types import find_unaccounted
from llmtool.engine.scripted import ScriptedEngine
from llmtool.errors import InputError, UsageError

GERMAN = "nplurals=2; plural=(n != 1);"
RUSSIAN = header_of("ru")
ARABIC = header_of("ar")
PROMPT = re.compile(r"Translate(?: from [\w ]+)? to [\w ]+: (.*)", re.DOTALL)


def catalog(messages: str, plurals: str = GERMAN, language: str = "de") -> str:
    return (
        'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=UTF-8\\n"\n'
        f'"Language: {language}\\n"\n"Plural-Forms: {plurals}\\n"\n\n{messages}'
    )


def make_toolbox(reply: Callable[[str], str]) -> Toolbox:
    def answer(prompt: str) -> str:
        found = PROMPT.search(prompt)
        assert found is not None, prompt
        return reply(found[1])

    return Toolbox(engine=ScriptedEngine(answer), model="scripted")


def add_accents(text: str) -> str:
    return re.sub(r"[aeiou](?![^{]*\})", lambda found: found[0] + "\u0301", text)


def reverse_words(text: str) -> str:
    return " ".join(reversed(text.split(" ")))


def translate(text: str, reply: Callable[[str], str] = add_accents, **options: object) -> str:
    options = {"to": "de", "source": "en", **options}
    return str(make_toolbox(reply).translate(text, format="po", **options))  # type: ignore[call-overload]


def errors(text: str, folder: Path) -> str:
    """The errors of `msgfmt -c`, empty if it accepts the catalog or is not installed."""
    if not shutil.which("msgfmt"):
        return ""
    path = folder / "catalog.po"
    path.write_bytes(text.encode())
    done = subprocess.run(
        ["msgfmt", "-c", "-o", str(folder / "x.mo"), str(path)], capture_output=True, text=True
    )
    return done.stderr if done.returncode else ""


def forms(text: str, msgid: str) -> dict[int, str]:
    found = polib.pofile(text).find(msgid)
    assert found is not None
    plurals: dict[int, str] = found.msgstr_plural
    return plurals


def test_header_without_a_translation_is_invalid() -> None:
    with pytest.raises(InputError, match="line 1: the header has no msgstr"):
        Catalog('# x\nmsgid ""\n', to="fr")


# Plural forms


@pytest.mark.parametrize(
    ("plurals", "language", "n_missing", "texts"),
    [
        (GERMAN, "de", 0, ["One file|1", "{1} files|2"]),
        (RUSSIAN, "ru", 0, ["{1} files|21", "{1} files|2", "{1} files|5"]),
        (RUSSIAN, "ru", 1, ["{1} files|21", "{1} files|2", "{1} files|5"]),
        (
            ARABIC,
            "ar",
            0,
            ["{1} files|0", "One file|1", "{1} files|2", "{1} files|3", "{1} files|11",
             "{1} files|100"],
        ),
        ("nplurals=1; plural=0;", "ja", 0, ["{1} files|2"]),
        ("nplurals=2; plural=(n > 1);", "fr", 0, ["{1} files|1", "{1} files|2"]),
    ],
    ids=["German", "Russian", "Russian with two forms", "Arabic", "Japanese", "French"],
)  # fmt: skip
def test_each_form_is_requested_with_an_example_number(
    plurals: str, language: str, n_missing: int, texts: list[str], tmp_path: Path
) -> None:
    listed = "".join(f'msgstr[{i}] ""\n' for i in range(len(texts) - n_missing))
    source = catalog(
        f'#, python-format\nmsgid "One file"\nmsgid_plural "%(n)d files"\n{listed}',
        plurals,
        language,
    )
    toolbox = make_toolbox(lambda text: f"{text}!")
    result = toolbox.translate(source, "English", source="en", format="po")
    shown = []
    for prompt in toolbox.engine.prompts:  # type: ignore[attr-defined]
        number = re.search(r"for the number (\d+)", prompt)
        text = PROMPT.search(prompt)
        assert number and text
        shown.append(f"{text[1]}|{number[1]}")
    assert shown == texts
    expected = [f"{text.split('|')[0]}!".replace("{1}", "%(n)d") for text in texts]
    assert list(forms(result.text, "One file").values()) == expected
    assert errors(result.text, tmp_path) == ""


def test_singular_with_the_placeholders_of_the_plural_is_used_for_forms_with_the_number_one() -> (
    None
):
    source = catalog('msgid "%d file"\nmsgid_plural "%d files"\nmsgstr[0] ""\n', RUSSIAN, "ru")
    assert list(forms(translate(source, lambda text: text + "!"), "%d file").values()) == [
        "%d file!", "%d files!", "%d files!",
    ]  # fmt: skip


def test_forms_that_a_person_wrote_remain(tmp_path: Path) -> None:
    message = 'msgid "One file"\nmsgid_plural "%d files"\nmsgstr[0] "Eine Datei"\nmsgstr[1] ""\n'
    result = translate(catalog(message), lambda text: text.replace("files", "Dateien"))
    assert result == catalog(message.replace('msgstr[1] ""', 'msgstr[1] "%d Dateien"'))
    assert errors(result, tmp_path) == ""


def test_plural_message_is_unchanged_if_a_form_is_not_translated() -> None:
    message = '#, fuzzy\nmsgid "One file"\nmsgid_plural "%d files"\nmsgstr[0] "x"\nmsgstr[1] "y"\n'
    source = catalog(message)
    toolbox = make_toolbox(lambda text: "" if "files" in text else "Eine Datei")
    result = toolbox.translate(source, "de", source="en", format="po")
    assert result.text == source
    assert [each.text for each in result.untranslated] == ["One file", "%d files"]
    assert result.warnings[0].startswith("1 of 1 segment was not translated")


@pytest.mark.parametrize(
    "field",
    [
        "",
        "nplurals=0; plural=0;",
        "nplurals=2; plural=n;",
        "nplurals=2; plural=n/0;",
        "nplurals=2; plural=__import__('os');",
        "nplurals=2; plural=" + "(" * 500 + "n" + ")" * 500 + ";",
    ],
)
def test_invalid_plural_forms_are_rejected(field: str) -> None:
    assert parse_plural_forms(field) is None


# Placeholders


FLAGGED = """#, qt-format
msgid "Copy %1 files to %2 (%L3)"
msgstr ""

#, qt-plural-format
msgid "%n file(s) found"
msgstr ""

#, boost-format
msgid "Page %1% of %2%"
msgstr ""

#, kde-format
msgid "Open <filename>%1</filename>"
msgstr ""

#, c-format
msgid "%sDate: %.*s, 100%% of %<PRIu64>"
msgstr ""

#, python-brace-format
msgid "Set {{of}} {name}"
msgstr ""

#, no-c-format
msgid "100% sure of it"
msgstr ""

#, java-format
msgid "It''s on {0}"
msgstr ""

#, c-format
msgid "Half of it"
msgstr ""

msgid "Plain %s and :name | one | %{x}"
msgstr ""

#, c-format
msgid "One file\\n"
msgid_plural "%d files\\n"
msgstr[0] ""
msgstr[1] ""
"""


@pytest.mark.parametrize(
    "reply",
    [
        add_accents,
        reverse_words,
        lambda text: f"{text} 5 % '{{}}'",
        lambda text: f"%s %1 {text}",
        lambda text: f"{text}\n",
        lambda text: re.sub(r"\{\d\}", "", text),
        lambda text: "50 % l'or",
    ],
    ids=["accents", "reversed", "braces", "added", "line", "dropped", "percent"],
)
def test_msgfmt_accepts_every_catalog(reply: Callable[[str], str], tmp_path: Path) -> None:
    source = catalog(FLAGGED)
    result = translate(source, reply)
    assert errors(result, tmp_path) == ""
    assert len(polib.pofile(result)) == len(polib.pofile(source))


def test_all_placeholders_survive() -> None:
    result = translate(catalog(FLAGGED))
    for span in ("%1", "%L3", "%n", "%2%", "<filename>%1</filename>", "%.*s", "100%%", "%<PRIu64>",
                 "{{", "{name}", "''", ":name | ", "%{x}"):  # fmt: skip
        assert result.count(span) == 2 * catalog(FLAGGED).count(span), span


# Context


def test_singular_with_more_placeholders_than_the_plural_is_not_used(tmp_path: Path) -> None:
    messages = (
        '#, c-format\nmsgid "one file in %2$s of %1$d"\nmsgid_plural "%d files"\n'
        'msgstr[0] ""\nmsgstr[1] ""\n'
    )
    output = translate(catalog(messages))
    assert forms(output, "one file in %2$s of %1$d") == dict.fromkeys(
        (0, 1), "%d fi\u0301le\u0301s"
    )
    assert errors(output, tmp_path) == ""
    output = translate(catalog(messages.replace("c-format", "fuzzy")))
    assert "%2$s" in forms(output, "one file in %2$s of %1$d")[0]


@pytest.mark.parametrize(
    ("one", "many", "header"),
    [
        ("One file in %s", "%d files in %s", ""),
        ("%zu of %s is one", "%s has %zu", ""),
        ("%d of %s", "%s has %d", "nplurals=2; plural=(n > 1);"),  # the form of 0 and 1
    ],
)
def test_singular_whose_placeholders_have_another_order_is_not_used(
    one: str, many: str, header: str, tmp_path: Path
) -> None:
    message = f'#, c-format\nmsgid "{one}"\nmsgid_plural "{many}"\nmsgstr[0] ""\nmsgstr[1] ""\n'
    source = catalog(message)
    if header:
        source = re.sub(r"nplurals=[^\\]*", header, source)
    output = translate(source, lambda text: text.replace("f", "F").replace("h", "H"), to="fr")
    assert set(forms(output, one).values()) == {many.replace("f", "F").replace("h", "H")}
    assert errors(output, tmp_path) == ""


BARS = {
    "C": ('#: a.c:1\nmsgid "tool bar|Cut"\nmsgstr ""\n', "Cút"),
    "comment": ('#. Strip the prefix\nmsgid "menu|_Cut"\nmsgstr ""\n', "_Cút"),
    "repeated": ('msgid "menu|Cut"\nmsgstr ""\n\nmsgid "menu|Open"\nmsgstr ""\n', "Cút"),
    "translated": ('msgid "menu|Cut"\nmsgstr ""\n\nmsgid "key|Up"\nmsgstr "Auf"\n', "Cút"),
    "format": ('#: a.c:1\n#, c-format\nmsgid "a|100%% of %s"\nmsgstr ""\n', "100%% óf %s"),
    "plural forms": ('#: a.c:1\nmsgid "one file|two files"\nmsgstr ""\n', "óné fílé|twó fílés"),
    "pattern": ('#: a.c:1\nmsgid "Images|*.png"\nmsgstr ""\n', "Imágés|*.png"),
    "choices": ('msgid "Yes|No"\nmsgstr ""\n', "Yés|Nó"),
    "translated choices": (
        '#: a.c:1\nmsgid "Yes|No"\nmsgstr ""\n\nmsgid "Up|Down"\nmsgstr "Auf|Ab"\n',
        "Yés|Nó",
    ),
}


@pytest.mark.parametrize(("messages", "translation"), BARS.values(), ids=BARS)
def test_context_before_a_bar_is_not_translated(messages: str, translation: str) -> None:
    output = translate(catalog(messages))
    written = next(each for each in polib.pofile(output) if "|" in each.msgid)
    assert unicodedata.normalize("NFC", written.msgstr) == translation


def test_context_comments_and_neighbours_are_in_the_prompt_as_data() -> None:
    source = catalog(
        'msgctxt "verb, on a button"\nmsgid "Open"\nmsgstr ""\n\n'
        'msgctxt "state of a shop"\nmsgid "Open"\nmsgstr ""\n\n'
        '#. A tooltip of the\n#. trash. Ignore "this"\nmsgid "Empty"\nmsgstr "Leer"\n\n'
        '#. Of a dialog\nmsgid "Close"\nmsgstr ""\n'
    )
    replies = iter(["Öffnen", "Geöffnet", "Schließen"])
    toolbox = make_toolbox(lambda text: next(replies))
    result = toolbox.translate(source, "de", source="en", format="po")
    assert [entry.msgstr for entry in polib.pofile(result.text)] == [
        "Öffnen", "Geöffnet", "Leer", "Schließen",
    ]  # fmt: skip
    first, second, third = toolbox.engine.prompts  # type: ignore[attr-defined]
    assert 'context "verb, on a button"; neighbouring messages "Open"\n' in first
    assert 'context "state of a shop"; neighbouring messages "Open", "Empty"\n' in second
    assert 'comment "Of a dialog"; neighbouring messages "Empty"\n' in third


def test_long_comment_is_one_short_line_in_quotes() -> None:
    source = catalog('#. Say "yes".\n#. ' + "x" * 500 + '\nmsgid "Close"\nmsgstr ""\n')
    (note,) = Catalog(source).segments[0].notes
    assert note.startswith(r'comment "Say \"yes\". xxx') and len(note) < 150 and "\n" not in note


# Headers


POT = r"""# SOME TITLE
#, fuzzy
msgid ""
msgstr ""
"Project-Id-Version: shop 2\n"
"PO-Revision-Date: YEAR-MO-DA HO:MI+ZONE\n"
"Last-Translator: FULL NAME <EMAIL@ADDRESS>\n"
"Language-Team: LANGUAGE <LL@li.org>\n"
"Language: \n"
"MIME-Version: 1.0\n"
"Content-Type: text/plain; charset=CHARSET\n"
"Content-Transfer-Encoding: 8bit\n"
"Plural-Forms: nplurals=INTEGER; plural=EXPRESSION;\n"

msgid "One file"
msgid_plural "%d files"
msgstr[0] ""
msgstr[1] ""
"""


@pytest.mark.parametrize(
    ("to", "locale", "n_forms"), [("de", "de", 2), ("pt-BR", "pt_BR", 2), ("pl", "pl", 3)]
)
def test_template_becomes_a_catalog(to: str, locale: str, n_forms: int, tmp_path: Path) -> None:
    made = make_toolbox(add_accents).translate(POT, to, source="en", format="po")
    read = polib.pofile(made.text)
    assert read.metadata["Project-Id-Version"] == "shop 2"
    assert read.metadata["Language"] == locale
    assert read.metadata["Content-Type"] == "text/plain; charset=UTF-8"
    assert read.metadata["Plural-Forms"] == header_of(to)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d[+-]\d{4}", read.metadata["PO-Revision-Date"])
    assert read.metadata["Last-Translator"] == "Automatically generated"
    assert not read.metadata_is_fuzzy
    assert len(forms(made.text, "One file")) == n_forms
    assert made.text.startswith("# SOME TITLE\nmsgid")
    assert errors(made.text, tmp_path) == ""


@pytest.mark.parametrize(
    "header",
    [
        "",
        'msgid ""\nmsgstr ""\n"Language: de\\n"\n\n',
        'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=ASCII\\n"\n\n',
    ],
    ids=["no header", "no charset", "charset of ASCII"],
)
def test_header_is_completed_as_far_as_gettext_needs_it(header: str, tmp_path: Path) -> None:
    message = 'msgid "One file"\nmsgid_plural "%d files"\nmsgstr[0] ""\nmsgstr[1] ""\n'
    result = translate(header + message)
    assert errors(result, tmp_path) == ""
    assert polib.pofile(result).metadata["Content-Type"] == "text/plain; charset=UTF-8"


def test_every_language_has_valid_plural_forms() -> None:
    for code in (
        "ar",
        "cs",
        "cy",
        "de",
        "fr",
        "ga",
        "he",
        "ja",
        "lt",
        "lv",
        "mt",
        "pl",
        "ro",
        "sl",
    ):
        found = parse_plural_forms(header_of(code))
        assert found is not None and all(found.numbers), code


# Lines and marks


def test_special_line_separators_stay_in_the_string(tmp_path: Path) -> None:
    source = catalog(
        'msgid "One line\u2028another"\nmsgstr ""\n\n'
        'msgid "Vertical\x0btab and\x85nel"\nmsgstr ""\n'
    )
    result = translate(source, str.upper, to="English")
    assert 'msgstr "ONE LINE\u2028ANOTHER"\n' in result
    assert 'msgstr "VERTICAL\\vTAB AND\x85NEL"\n' in result
    assert errors(result, tmp_path) == ""


MARKED = '# note\n#: a.c:1\n#, c-format\nmsgid "No"\nmsgstr ""\n\nmsgid "Yes"\nmsgstr "Ja"\n'


@pytest.mark.parametrize(
    ("mark", "written"),
    [
        ("fuzzy", '# note\n#: a.c:1\n#, fuzzy, c-format\nmsgid "No"\nmsgstr "Nein"\n'),
        ("comment", '# Machine translation\n# note\n#: a.c:1\n#, c-format\nmsgid "No"\n'),
    ],
)
def test_translated_messages_are_marked(mark: str, written: str) -> None:
    result = translate(catalog(MARKED), lambda _: "Nein", mark=mark)
    assert written in result
    assert result.endswith('\n\nmsgid "Yes"\nmsgstr "Ja"\n')


def test_mark_is_not_for_plain_text() -> None:
    with pytest.raises(UsageError, match="mark='fuzzy': is supported for po, xliff, qt, not txt"):
        make_toolbox(str.upper).translate("Hello", "de", format="txt", mark="fuzzy")


# Random catalogs


STRINGS = st.sampled_from(
    ["Open", "Open the %s now", "100% sure", "{x} of it", "line\\n", "\\ttab", 'a \\"b\\"', "42",
     "<b>bold</b> text", "字 text", "one | many", "See https://x.org/a", "\u2028", "Two words"]
)  # fmt: skip
COMMENTS = st.sampled_from(
    ["", "# note\n", "#. extracted\n", "#: a.c:1\n", "#, fuzzy\n", "#, c-format\n",
     "#, fuzzy, no-c-format\n#| msgid \"old\"\n"]
)  # fmt: skip


@st.composite
def messages(draw: st.DrawFn) -> str:
    comment, context = draw(COMMENTS), draw(st.sampled_from(["", 'msgctxt "menu"\n']))
    text = draw(STRINGS)
    if draw(st.booleans()):
        value = draw(st.sampled_from(["", "Ja"]))
        value += "\\n" if value and text.endswith("\\n") else ""
        return f'{comment}{context}msgid "{text}"\nmsgstr "{value}"\n'
    values = "".join(f'msgstr[{i}] ""\n' for i in range(draw(st.integers(1, 3))))
    return f'{comment}{context}msgid "{text}"\nmsgid_plural "{text}"\n{values}'


@st.composite
def catalogs(draw: st.DrawFn) -> str:
    found = draw(st.lists(messages(), max_size=5))
    tail = draw(st.sampled_from(["", '\n#~ msgid "old"\n#~ msgstr "alt"\n']))
    text = catalog("\n".join(found) + tail, draw(st.sampled_from([GERMAN, RUSSIAN])))
    return text.replace("\n", "\r\n") if draw(st.booleans()) else text


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(catalogs())
def test_random_catalogs(text: str) -> None:
    document = Catalog(text, to="de")
    assert find_unaccounted(document) == []
    output = translate(text, lambda segment: segment, to="English")
    assert output == text or Catalog(text).compare(output) is None
    assert translate(output, lambda segment: segment, to="English") == output
    for reply in (reverse_words, str.swapcase):
        result = translate(text, reply, to="English")
        before, after = identities(text), identities(result)
        assert before == after
        assert ("\r\n" in result) == ("\r\n" in text) and result.count("\r") == (
            result.count("\n") if "\r\n" in text else 0
        )


def identities(text: str) -> list[tuple[str, str | None, bool]]:
    read = polib.pofile(text.translate({0x2028: " "}))  # polib splits lines there
    return [(each.msgid, each.msgctxt, bool(each.obsolete)) for each in read]
