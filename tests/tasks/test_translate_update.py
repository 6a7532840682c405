"""`translate(update=)`: text of an earlier translation remains if its source did not change."""

from __future__ import annotations

import json
import re
from pathlib import Path

import polib
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtool import Toolbox
from llmtool.documents.formats import parse
from llmtool.documents.types import Format
from llmtool.engine.scripted import ScriptedEngine
from llmtool.errors import InputError, UsageError
from llmtool.tasks.pipeline.disk_cache import DiskCache
from llmtool.tasks.translate.update import SegmentRecord, align, find_unchanged, make_record

PROMPT = re.compile(r"Translate(?: from \w+)? to [\w ]+: (.*)", re.DOTALL)


def add_umlauts(prompt: str) -> str:
    found = PROMPT.search(prompt)
    assert found is not None
    return re.sub(r"[aoe]", lambda vowel: {"a": "ä", "o": "ö", "e": "é"}[vowel[0]], found[1])


class Translator:
    """Translates with a scripted model; the records of its translations are in a folder."""

    def __init__(self, folder: Path) -> None:
        self._records = DiskCache(folder)

    def __call__(
        self, text: str, *, update: str | None = None, model: str = "scripted", **options: str
    ) -> tuple[str, list[str]]:
        """Return the translation and the requested texts."""
        engine = ScriptedEngine(add_umlauts)
        toolbox = Toolbox(engine=engine, model=model)
        toolbox.context.translated = self._records
        result = toolbox.translate(text, "de", update=update, **options)  # type: ignore[arg-type]
        found = [PROMPT.search(prompt) for prompt in engine.prompts]
        return result.text, [each[1] for each in found if each]


@pytest.fixture
def translate(tmp_path: Path) -> Translator:
    return Translator(tmp_path)


MARKDOWN = """\
# Opening hours of the library

The library is closed on *Mondays*, and `opens` again on Tuesday morning.

- [The rules](#rules) of the library
- A long walk to the town

## Rules

![A cat](cat.png "A cat on a chair")

| Day | Hours |
|-----|-------|
| Tuesday | from ten to six |
"""
HTML = (
    "<html><body><h1>Opening hours</h1>\n<p>Closed on <b>Mondays</b> and "
    '<img alt="A cat" src="c.png"> holidays.</p>\n'
    "<ul><li>Come today</li><li>Or tomorrow</li></ul>\n</body></html>\n"
)
SUBTITLES = "".join(
    f"{n}\n00:00:0{n},000 --> 00:00:0{n},900\n{text}\n\n"
    for n, text in enumerate(("Good morning.", "Who goes there?", "A friend.", "Good morning."), 1)
)
TEXT = "Good morning to all.\n\nThe library is closed.\n\nCome again tomorrow.\n"
JSON = json.dumps(
    {"title": "Good morning", "menu": {"open": "Open now", "items": ["A cat", "A dog and a cow"]}},
    indent=2,
)
STRINGS = '"a" = "Good morning";\n"b" = "Good bye for now";\n'
PROPERTIES = "a = Good morning\nb = Good bye, {0}\n"
ANDROID = (
    '<resources>\n<string name="a">Good morning</string>\n<string-array name="b">'
    "<item>A cat</item><item>A dog</item></string-array>\n</resources>\n"
)
CATALOG = (
    'msgid ""\nmsgstr "Plural-Forms: nplurals=2; plural=(n != 1);\\n"\n\n'
    'msgctxt "menu"\nmsgid "Open now"\nmsgstr ""\n\nmsgid "Open now"\nmsgstr ""\n\n'
    '#, c-format\nmsgid "%d good file"\nmsgid_plural "%d good files"\n'
    'msgstr[0] ""\nmsgstr[1] ""\n'
)
XLIFF = (
    '<xliff version="1.2"><file original="a"><body>'
    '<trans-unit id="1"><source>Good <g id="1">morning</g></source></trans-unit>'
    '<trans-unit id="2"><source>Good bye</source></trans-unit></body></file></xliff>'
)
QT = (
    "<TS><context><name>Main</name>"
    '<message><source>Open %1</source><translation type="unfinished"></translation></message>'
    '<message numerus="yes"><source>%n good files</source><translation type="unfinished">'
    "<numerusform></numerusform><numerusform></numerusform></translation></message>"
    "</context></TS>"
)
DOCUMENTS: dict[str, tuple[Format, str]] = {
    "markdown": ("md", MARKDOWN),
    "html": ("html", HTML),
    "subtitles": ("srt", SUBTITLES),
    "text": ("txt", TEXT),
    "rst": (
        "rst",
        "Opening hours\n=============\n\nThe library is ``closed``.\n\nCome tomorrow.\n",
    ),
    "json": ("json", JSON),
    "strings": ("strings", STRINGS),
    "properties": ("properties", PROPERTIES),
    "android": ("android", ANDROID),
    "catalog": ("po", CATALOG),
    "xliff": ("xliff", XLIFF),
    "qt": ("qt", QT),
}
FORMATS = pytest.mark.parametrize(("format", "source"), DOCUMENTS.values(), ids=DOCUMENTS)


def edit(text: str) -> str:
    """Replace words of a translation, as a person does."""
    words = {
        "mörning": "Morgen heute",
        "clöséd": "heute zu",
        "cät": "Kätzchen",
        "Opén": "Auf",
        "by\\u00e9": "bis",
    }
    for old, new in words.items():
        text = text.replace(old, new)
    return text


@FORMATS
def test_unchanged_source_needs_no_requests_and_edits_remain(
    translate: Translator, format: Format, source: str
) -> None:
    first, requests = translate(source, format=format)
    edited = edit(first)
    assert requests and edited != first
    # Another model: the records do not depend on it.
    assert translate(source, format=format, update=edited, model="other") == (edited, [])


def paragraphs(*texts: str) -> str:
    return "\n\n".join(texts) + "\n"


A, B, C, D = "Good morning to all.", "The library is closed.", "Come tomorrow.", "Or a day later."


@pytest.mark.parametrize(
    ("source", "requests"),
    [
        (paragraphs(A, "A changed line.", C), ["A changed line."]),
        (paragraphs(A, D, B, C), [D]),
        (paragraphs(A, C), []),
        (paragraphs(C, A, B), []),
        (paragraphs(A, f"{B}\nIt is cold.", C), ["It is cold."]),
    ],
    ids=["changed", "inserted", "removed", "moved", "longer"],
)
def test_only_new_and_changed_segments_are_requested(
    translate: Translator, source: str, requests: list[str]
) -> None:
    first, _ = translate(paragraphs(A, B, C))
    edited = first.replace("tömörröw", "morgen früh")
    text, requested = translate(source, update=edited)
    assert requested == requests
    assert ("morgen früh" in text) and "Cömé tömörröw" not in text


def test_edited_translation_of_a_changed_source_is_requested_anew(translate: Translator) -> None:
    first, _ = translate(paragraphs(A, B, C))
    edited = first.replace("clöséd", "heute zu")
    text, requests = translate(paragraphs(A, B.replace("closed", "open"), C), update=edited)
    assert requests == [B.replace("closed", "open")] and "heute zu" not in text


def test_update_of_an_update_keeps_earlier_edits(translate: Translator) -> None:
    first, _ = translate(paragraphs(A, B))
    second, _ = translate(paragraphs(A, B, C), update=first.replace("clöséd", "heute zu"))
    third, requests = translate(paragraphs(D, A, B, C), update=second.replace("Cömé", "Auf"))
    assert requests == [D] and "heute zu" in third and "Auf" in third


def test_keys_without_a_record_keep_the_text_of_a_person(translate: Translator) -> None:
    new = json.dumps({"b": "Good bye for now", "a": "Good morning", "c": "A new one"})
    old = json.dumps({"a": "Guten Morgen", "b": "Bis bald dann"})
    text, requests = translate(new, update=old)
    assert requests == ["A new one"]
    assert json.loads(text) == {"b": "Bis bald dann", "a": "Guten Morgen", "c": "A néw öné"}


def test_key_with_another_source_in_its_record_is_requested(translate: Translator) -> None:
    first, _ = translate(json.dumps({"a": "Good morning", "b": "Open now"}))
    assert translate(json.dumps({"b": "Open later", "a": "Good morning"}), update=first)[1] == [
        "Open later"
    ]


def test_array_with_an_inserted_value_keeps_the_others(translate: Translator) -> None:
    first, _ = translate(json.dumps({"a": ["One day ago", "Two days ago"]}))
    edited = first.replace("Twö", "Zwei")
    new = json.dumps({"a": ["No day ago", "One day ago", "Two days ago"]})
    text, requests = translate(new, update=edited)
    assert requests == ["No day ago"] and "Zwei" in text


def test_catalog_keeps_finished_messages_with_the_same_context_and_plural(
    translate: Translator,
) -> None:
    old = (
        CATALOG.replace('Open now"\nmsgstr ""', 'Open now"\nmsgstr "Auf"', 1)
        .replace('msgstr[0] ""\nmsgstr[1] ""', 'msgstr[0] "%d gute"\nmsgstr[1] "%d guten"')
        .replace('msgid "Open now"\nmsgstr ""', '#, fuzzy\nmsgid "Open now"\nmsgstr "Zu"')
    )
    text, requests = translate(CATALOG, update=old)
    found = {(each.msgctxt, each.msgid): each for each in polib.pofile(text)}
    assert found["menu", "Open now"].msgstr == "Auf" and requests == ["Open now"]
    assert found[None, "%d good file"].msgstr_plural == {0: "%d gute", 1: "%d guten"}


def test_text_that_was_not_translated_is_requested_again(translate: Translator) -> None:
    first, _ = translate(paragraphs(A, B))
    assert translate(paragraphs(A, B), update=first.replace(add(B), B))[1] == [B]


def test_segment_without_its_link_is_requested_again(translate: Translator) -> None:
    source = "Read [the rules](rules.md) today.\n\nThe library is closed.\n"
    first, _ = translate(source, format="md")
    text, requests = translate(source, format="md", update=first.replace("(rules.md)", ""))
    assert len(requests) == 1 and text == first


@pytest.mark.parametrize(
    ("translation", "remains"),
    [
        ("%s hat %d Dateien", True),
        ("%d Dateien hat %s", False),
        ("%2$d Dateien hat %1$s", True),
        ("%2$d Dateien hat %s", False),
        ("%2$d Dateien", False),
    ],
)
def test_other_order_of_placeholders_needs_their_numbers(
    translate: Translator, translation: str, remains: bool
) -> None:
    source = '#, c-format\nmsgid "%s has %d files"\nmsgstr ""\n\nmsgid "Yes"\nmsgstr ""\n'
    old = source.replace('msgstr ""', f'msgstr "{translation}"', 1)
    old = old.replace('msgstr ""', 'msgstr "Ja"')
    text, requests = translate(source, update=old)
    assert (translation in text, not requests) == (remains, remains)


@pytest.mark.parametrize(
    ("source", "update", "message"),
    [
        (paragraphs(A, B), paragraphs("Guten Morgen.", "Zu."), "not known as an earlier"),
        ('{"a": "Good morning"}', '{"b": "Guten Morgen"}', "not known as an earlier"),
        ('{"a": "Good morning"}', "Guten Morgen", "update=: line 1, column 1: not valid JSON"),
        (CATALOG, CATALOG, "not known as an earlier"),
        (paragraphs(A), " \n", "update=: the earlier translation is empty"),
    ],
    ids=["other text", "other keys", "other format", "untranslated", "empty"],
)
def test_text_that_is_not_an_earlier_translation_is_an_error(
    translate: Translator, source: str, update: str, message: str
) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        translate(source, update=update)


def test_update_without_a_cache_says_so() -> None:
    toolbox = Toolbox(engine=ScriptedEngine(add_umlauts), model="scripted")
    with pytest.raises(InputError, match="since the cache is off; omit it"):
        toolbox.translate(paragraphs(A, B), "de", update=paragraphs(C, A))


def test_update_is_for_one_document_and_excludes_other_outputs() -> None:
    toolbox = Toolbox(engine=ScriptedEngine(add_umlauts), model="scripted")
    with pytest.raises(UsageError, match="update= is for one document"):
        toolbox.translate([A, B], "de", update=C)
    with pytest.raises(UsageError, match="update= and bilingual= cannot be combined"):
        toolbox.translate(A, "de", update=C, bilingual=True)
    with pytest.raises(UsageError, match="update= and mark= cannot be combined"):
        toolbox.translate(CATALOG, "de", update=CATALOG, mark="fuzzy")


def add(text: str) -> str:
    return text.replace("a", "ä").replace("o", "ö").replace("e", "é")


WORDS = st.lists(st.sampled_from("abcd"), max_size=12)


@given(WORDS, st.sets(st.integers(0, 11)))
def test_edits_of_the_same_number_of_segments_are_aligned(
    sources: list[str], edits: set[int]
) -> None:
    base = [SegmentRecord("", each, each.upper()) for each in sources]
    edited = [("", f"edit {i}" if i in edits else each.translation) for i, each in enumerate(base)]
    aligned = align([("", each) for each in sources], base, edited)
    assert aligned == {i: i for i in range(len(sources))}


@given(WORDS, WORDS)
def test_only_segments_with_the_same_source_are_aligned(new: list[str], sources: list[str]) -> None:
    base = [SegmentRecord("", each, each.upper()) for each in sources]
    edited = [("", each.translation) for each in base]
    aligned = align([("", each) for each in new], base, edited)
    assert all(new[i] == sources[j] for i, j in aligned.items())
    assert len(aligned) == sum(min(new.count(each), sources.count(each)) for each in "abcd")


def test_the_record_that_fits_best_is_used() -> None:
    new = parse(paragraphs(A, B, C), "txt")
    old = parse(paragraphs(add(A), "Etwas anderes hier.", add(C)), "txt")
    records = [
        make_record(parse(text, "txt"), [(add(s.source),) for s in parse(text, "txt").segments],
                    format="txt", to="de")
        for text in (paragraphs(A, D), paragraphs(A, B, C), paragraphs(B, D, A, A))
    ]  # fmt: skip
    assert find_unchanged(new, old, records) == {
        0: (add(A),), 1: ("Etwas anderes hier.",), 2: (add(C),)
    }  # fmt: skip
