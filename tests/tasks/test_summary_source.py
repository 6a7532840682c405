"""Sentences of a source: kinds, spans, readable rows; numbers, names and terms."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtool.tasks.summarize.extract import ScoredSource
from llmtool.tasks.summarize.source import read_sentences
from llmtool.text.mentions import find_names, find_numbers, same_number
from llmtool.text.words import count_words

DOCUMENT = """Title here
==========

Intro by Dr. Ode, e.g. at 9.40 a.m. He said "No." Then left!

* item one. With two
  lines
1. numbered
> quoted line
> and more

| to | price |
|---|:--|
| Rem \\| Sun | 4 |
| Kall | |

```py
code = 1
```

Subject: Hello there
From: Ann
## A *marked* [heading](url) ##
"""


def test_kinds_and_readable_texts() -> None:
    assert [(each.kind, each.text) for each in read_sentences(DOCUMENT)] == [
        ("heading", "Title here"),
        ("prose", "Intro by Dr. Ode, e.g. at 9.40 a.m."),
        ("prose", 'He said "No."'),
        ("prose", "Then left!"),
        ("item", "item one."),
        ("item", "With two lines"),
        ("item", "numbered"),
        ("prose", "quoted line and more"),
        ("row", "to: Rem | Sun, price: 4"),
        ("row", "to: Kall"),
        ("code", "code = 1"),
        ("prose", "Subject: Hello there"),
        ("prose", "From: Ann"),
        ("heading", "A marked heading"),
    ]


def test_fields_of_an_email_are_not_sentences_to_choose() -> None:
    sentences = read_sentences(
        "Subject: Bus to Rem\nFrom: Ann Ode <a@b.c>\nDate: Mon, 1 Jan 2024 10:00:00 +0000\n\n"
        "The bus leaves at nine.\n\nFrom: the bridge you see it.\nTo: the left.\nGood\n"
    )
    kinds = ["prose", "field", "field", "prose", "prose", "prose"]
    assert [each.kind for each in sentences][:6] == kinds
    source = ScoredSource(sentences)
    assert source.choosable == [0, 3, 4]
    assert source.choose_line(9) != [1]


@pytest.mark.parametrize(
    "head",
    [
        "Von: Ann Ode\nAn: Vertrieb\nDatum: 3. Mai 2024\nBetreff: Der Bus nach Rem",
        "De : Ann Ode\nÀ : Tous\nEnvoyé : 3 mai 2024\nObjet : Le car de Rem",
        "发件人：王芳\n收件人：全体员工\n日期：2024年5月3日\n主题：去雷姆的班车",
    ],
)
def test_fields_of_an_email_are_recognized_in_other_languages(head: str) -> None:
    sentences = read_sentences(f"{head}\n\nText of the mail.\n\nDatum: 4. Mai 2024\nEnd.\n")
    kinds = ["field", "field", "field", "prose", "prose", "prose"]
    assert [each.kind for each in sentences][:6] == kinds


def test_spans_are_those_of_the_text() -> None:
    for each in read_sentences(DOCUMENT):
        if each.kind in ("prose", "item", "code") and "\n" not in DOCUMENT[each.start : each.end]:
            assert DOCUMENT[each.start : each.end] == each.text


def test_blocks_and_sections_are_counted() -> None:
    found = read_sentences("# A\n\nOne is here. Two is there.\n\nThree.\n\n# B\n\nFour.\n")
    assert [(each.block, each.section, each.opens) for each in found] == [
        (0, 1, True), (1, 1, True), (1, 1, False), (2, 1, True), (3, 2, True), (4, 2, True),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("Dear Ms Ode,\n\nthe bus is late.\n\nKind regards\nAnn", ["Dear Ms Ode,", "Kind regards"]),
        ("Hi all!\nThe bus is late.\n\nBest,\nAnn", ["Hi all!", "Best,"]),
        ("Sehr geehrte Frau Öz,\n\nder Bus fehlt.\n\nMit freundlichen Grüßen\nAnn",
         ["Sehr geehrte Frau Öz,", "Mit freundlichen Grüßen"]),
        ("尊敬的各位用户：\n\n班车晚点。", ["尊敬的各位用户："]),
        ("It is late.\n> On Mon, 3 Feb 2025 at 16:40, Ann Ode wrote:\n> The bus leaves.",
         ["On Mon, 3 Feb 2025 at 16:40, Ann Ode wrote:"]),
        ("Ja.\n\nAm 3. Februar 2025 um 16:40 schrieb Ann\nOde <a@b.c>:\nDer Bus fährt.",
         ["Am 3. Februar 2025 um 16:40 schrieb Ann", "Ode <a@b.c>:"]),
        ("He gave them his\nbest\nand dear Ann, who\ncame, too.", []),
        ("On Monday 3 May Ann wrote: The bus is late.", []),
        ("On Monday Ann wrote what she wants:\n- a bus", []),
    ],
    ids=["letter", "short", "German", "Chinese", "quote", "two lines", "wrapped", "prose", "lead"],
)  # fmt: skip
def test_courtesies_of_letters_are_not_chosen(text: str, fields: list[str]) -> None:
    found = [each.text for each in read_sentences(text) if each.kind == "field"]
    assert [each.removeprefix("> ") for each in found] == fields


@pytest.mark.parametrize(
    "line",
    ["[19:02] kira: {}", "[14.03.25, 19:02:11] Kira: {}", "19:02 kira: {}", "<kira> {}",
     "12/03/2025, 19:02 - Kira: {}", "2025-03-12 19:02 {}", "7:02 pm {}"],
)  # fmt: skip
def test_lines_of_a_chat_are_sentences(line: str) -> None:
    texts = [line.format(each) for each in ("no rain", "why? wet", "so we go", "yes")]
    found = read_sentences("\n".join(texts))
    assert [each.text for each in found if each.opens] == [
        texts[0], texts[1][: texts[1].index("?") + 1], *texts[2:],
    ]  # fmt: skip


def test_prose_that_is_wrapped_before_a_time_is_one_sentence() -> None:
    lines = ["The bus to the station leaves at", "9:40 and comes back to the park,"] * 3
    assert len(read_sentences("\n".join([*lines, "least, and not on Sunday"]))) == 1


@pytest.mark.parametrize(
    ("text", "n_headings"),
    [
        ("LEASE OF A GARAGE\n\nMrs Aarnes lets the garage to Mr Wronka for 90 euros.", 1),
        ("休馆通知\n\n图书馆因设备更新工程，从六月九日起闭馆六周。", 1),
        ("Bring a cake\n\nCall Ann on Friday", 0),
        ("It is late.\n\nThe bus of the morning leaves at nine from the station.", 0),
    ],
    ids=["title", "Chinese", "notes", "sentence"],
)
def test_first_line_is_a_title_if_a_text_follows(text: str, n_headings: int) -> None:
    assert [each.kind for each in read_sentences(text)].count("heading") == n_headings


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("图书馆因维修闭馆。3月开馆！他说：“好。”然后走了。",
         ["图书馆因维修闭馆。", "3月开馆！", "他说：“好。”", "然后走了。"]),
        ("雨が\n降った。", ["雨が降った。"]),
        ("Am 3. Mai kam Dr. Ode. Es regnete.", ["Am 3. Mai kam Dr. Ode.", "Es regnete."]),
        ("The U.S. envoy of Acme Inc. left.", ["The U.S. envoy of Acme Inc. left."]),
        ("It cost 1.5 million. Yes.", ["It cost 1.5 million.", "Yes."]),
        ("It is **bold**, [linked](http://x.y) and ![Logo](a.png).",
         ["It is bold, linked and Logo."]),
        ("It rained…  Then?! \"Stop.\" So.", ["It rained…", "Then?!", '"Stop."', "So."]),
    ],
    ids=["Chinese", "wrapped", "German date", "abbreviations", "decimals", "markup", "ends"],
)  # fmt: skip
def test_sentences_are_divided_at_their_ends(text: str, sentences: list[str]) -> None:
    assert [each.text for each in read_sentences(text)] == sentences


def test_unmarked_titles_and_fields_are_separate() -> None:
    text = (
        "2. Figures for the quarter\nMs Pohl explains the paper in a rather long sentence.\n\n"
        "三、规模和经费\n许文涛说明设计方案，总建筑面积四万平方米。\n"
        "时间：一月十五日\n地点：市政府\n\n"
        "A first line of a paragraph that\nis wrapped here and continues for some words.\n"
    )
    assert [(each.kind, each.text) for each in read_sentences(text)] == [
        ("heading", "Figures for the quarter"),
        ("prose", "Ms Pohl explains the paper in a rather long sentence."),
        ("heading", "三、规模和经费"),
        ("prose", "许文涛说明设计方案，总建筑面积四万平方米。"),
        ("prose", "时间：一月十五日"),
        ("prose", "地点：市政府"),
        ("prose", "A first line of a paragraph that is wrapped here and continues for some words."),
    ]


def test_front_matter_is_code() -> None:
    found = read_sentences("---\ntitle: A\ntags: [b]\n---\n# Title\n\nText is here.\n")
    assert [each.kind for each in found] == ["code", "code", "heading", "prose"]
    assert [each.kind for each in read_sentences("---\nText is here.\n")] == ["prose"]


def test_text_without_punctuation_is_divided() -> None:
    text = "and then we walked to the next place " * 60
    found = read_sentences(text)
    assert len(found) > 5 and max(each.n_words for each in found) <= 30
    assert all(each.text.startswith("and ") for each in found)
    assert " ".join(each.text for each in found).split() == text.split()


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("buy flour\ncall Mrs Haas about it by 12 March\nrent: 940 euros\nTom, the ladder", 4),
        ("Buy flour.\nCall Ann\nThe rent is 940\nPay the bill", 4),
        ("买面粉两公斤\n给张老师打电话\n房租涨到940元", 3),
        ("we went to the market in the morning and bought\nbread and cheese and then we walked "
         "along the\nriver until it began to rain and we had to go\nback home", 1),
        ("First we met. Then we left\nfor the town\nand came back", 2),
        ("If I can,\nI will come\non Monday", 1),
        ("two lines\nare a sentence", 1),
    ],
    ids=["notes", "some with ends", "Chinese", "wrapped", "prose", "comma", "two lines"],
)  # fmt: skip
def test_lines_of_notes_are_sentences(text: str, sentences: int) -> None:
    found = read_sentences(text)
    assert len(found) == sentences
    assert all(text[each.start : each.end].split() == each.text.split() for each in found)


@given(st.text(alphabet="aB1 .!?。\n#-|`>*:[]()雨", max_size=120))
def test_any_text_has_ordered_spans(text: str) -> None:
    last = 0
    for each in read_sentences(text):
        assert last <= each.start < each.end <= len(text)
        assert each.text and each.n_words == count_words(each.text)
        last = each.end


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ("4.2 million", "4,200,000", True),
        ("4.2 million", "4.2", False),
        ("1.200", "1,200", True),
        ("1 200", "1200", True),
        ("9:40", "9.40 am", True),
        ("21:40", "9:40 pm", True),
        ("9 am", "9:00", True),
        ("twelve", "12", True),
        ("twenty-three", "23", True),
        ("40 percent", "40%", True),
        ("40 percent", "40", False),
        ("2 thousand", "2,000", True),
        ("三 3万", "30000", True),
        ("3,5 Millionen", "3500000", True),
        ("-5", "5", False),
    ],
)
def test_numbers_are_equal_in_different_spellings(one: str, other: str, equal: bool) -> None:
    (first,), (second,) = find_numbers(one), find_numbers(other)
    assert same_number(first, second) is equal


def test_dates_are_numbers_and_months() -> None:
    readings = [sorted(each.readings) for each in find_numbers("On 2026-05-03 and 3 May 2026.")]
    assert readings == [["2026"], ["month5"], ["3"], ["3"], ["month5"], ["2026"]]
    assert find_numbers("You may march in one line.") == []


def test_names_are_capitalized_words() -> None:
    found = find_names("The mayor, Ann Ode's friend, met WHO staff in May 2020. Rem agreed.")
    assert [(each.text, each.opens) for each in found] == [
        ("ann", False), ("ode", False), ("who", False), ("rem", True),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "unit", ["![[", "[", "[a](", "**a", "| a ", "a！", "<!--", '"', "\n ", "> ", "On a\n", "[9:40"]
)
def test_repeated_syntax_takes_linear_time(unit: str) -> None:
    """A quadratic search takes minutes for this size, longer than a test may take."""
    text = unit * (200_000 // len(unit))
    sentences = read_sentences(text)
    assert all(0 <= each.start < each.end <= len(text) for each in sentences)


@pytest.mark.parametrize("unit", [";", "; ", "a;", "图;", "!", "a\n", ".a"])
def test_hostile_text_takes_linear_time(unit: str) -> None:
    started = time.process_time()
    read_sentences(f"One {unit * (200_000 // len(unit))} two.")
    assert time.process_time() - started < 5
