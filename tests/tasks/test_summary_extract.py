"""Sentences that are chosen without a model."""

from __future__ import annotations

import math

import pytest

from llmtool.tasks.summarize import extract
from llmtool.tasks.summarize.extract import WEIGHTS, ScoredSource, Weights
from llmtool.tasks.summarize.source import read_sentences

FILLER = "The committee met again and talked for a while about the weather in the old valley."
FACTS = [
    "The repair of the harbour wall in Kall will cost 1.2 million euros.",
    "Because of the storm, 400 books of the library were lost in November.",
    "The night train to Trieste runs again from 2 May and costs 59 euros.",
]


def document(n: int = 12) -> str:
    parts = [f"{FILLER} We saw tree {chr(97 + i)}{'xyz'[i % 3]}." for i in range(n)]
    for position, fact in zip((2, 6, 9), FACTS, strict=True):
        parts.insert(position, fact)
    return "# Report\n\n" + "\n\n".join(parts) + "\n"


def source(text: str, **options: str) -> ScoredSource:
    return ScoredSource(read_sentences(text), **options)  # type: ignore[arg-type]


def test_sentences_with_facts_are_chosen_in_order() -> None:
    found = source(document())
    assert [found.sentences[i].text for i in found.choose_number(3)] == FACTS


def test_repeated_sentence_is_chosen_once() -> None:
    found = source(f"{FACTS[0]}\n\n{FACTS[1]}\n\n{FACTS[0]}\n\n{FACTS[2]}\n")
    assert found.choose_number(4) in ([0, 1, 3], [1, 2, 3])


def test_rows_that_differ_in_a_value_are_not_all_chosen() -> None:
    rows = "".join(f"| station {name} | {n} passengers in 2024 |\n" for name, n in
                   [("Aran", 412), ("Bel", 377), ("Cor", 298)])  # fmt: skip
    found = source(f"| stop | users |\n|---|---|\n{rows}")
    assert len(found.choose_number(3)) == 1


def test_focus_is_preferred() -> None:
    text = "\n\n".join([*FACTS, "The library in Rem has a garden."])
    found = source(text, focus="library garden")
    assert [found.sentences[i].text for i in found.choose_number(1)] == [
        "The library in Rem has a garden."
    ]


@pytest.mark.parametrize("n_words", [40, 60, 90, 120])
def test_number_of_words_is_within_ten_percent(n_words: int) -> None:
    words = (
        "harbour storm library garden train winter bridge school market letter valley tower mill "
        "engine forest island museum orchard printer quarry railway station theatre village"
    ).split()
    n = len(words)
    text = " ".join(
        f"In {1900 + i} the {words[i % n]} of {words[(i * 7 + 3) % n].title()} {i} had "
        f"{' '.join(words[(i * k) % n] for k in range(2, 2 + i % 9))} and {i * 13} people."
        for i in range(80)
    )
    found = source(text)
    total = sum(found.sentences[i].n_words for i in found.choose(n_words))
    assert 0.9 * n_words <= total <= 1.1 * n_words


def test_whole_text_is_chosen_if_it_is_short() -> None:
    found = source("\n\n".join(FACTS))
    assert found.choose(500) == [0, 1, 2]


def test_headings_are_chosen_only_without_other_text() -> None:
    assert 0 not in source(document()).choose(500)
    assert source("# Only a heading\n").choose(10) == [0]


def test_title_is_the_line_of_a_text() -> None:
    assert source(f"# The wall of Kall\n\n{FACTS[0]}").choose_line(10) == [0]
    assert source(f"{FILLER}\n\nKall repairs its wall.\n").choose_line(8) == [1]


def test_chinese_sentences_are_chosen_by_words() -> None:
    text = "图书馆因维修闭馆。大家谈论天气。修理费用共计一百二十万元，由政府支付。天气很好。"
    found = source(text)
    chosen = "".join(found.sentences[i].text for i in found.choose(12))
    assert "费用" in chosen


def test_last_sentence_of_a_paragraph_counts_less() -> None:
    first, last = source("In May the wall cost 400 euros. In July the roof cost 300 euros.").scores
    alone = source("In May the wall cost 400 euros.\n\nIn July the roof cost 300 euros.").scores
    assert last / first < 0.7 < alone[1] / alone[0]


def test_short_sentences_fill_the_rest_of_the_length() -> None:
    long = "In 1904 the bridge of Rem cost 4 million euros, as the report of the council says."
    other = "A storm destroyed 300 trees in the park because nobody had looked at their roots."
    found = source("\n\n".join([long, other, "The tram is free."]))
    n_words = sum(each.n_words for each in found.sentences)
    assert found.choose(n_words - 3) == [0, 1, 2]


def test_repeated_number_counts() -> None:
    texts = "The hall costs 48 pounds.", "The barn costs 57 pounds.", "All paid 57 pounds."
    sentences = read_sentences("\n\n".join(texts))
    without = ScoredSource(sentences, weights=Weights(repeated_number=0.0)).scores
    ratios = [a / b for a, b in zip(ScoredSource(sentences).scores, without, strict=True)]
    raised = math.exp(WEIGHTS.repeated_number)
    assert WEIGHTS.repeated_number > 0 and ratios == pytest.approx([1.0, raised, raised])


def test_sentence_of_a_paragraph_counts_more_than_a_line() -> None:
    line, *paragraph = source(f"{FACTS[0]}\n\n{FACTS[0]} {FACTS[1]} {FACTS[2]}\n").scores
    assert paragraph[0] > line


def test_number_among_many_counts_less() -> None:
    pairs = "a 11, b 12 and c 13", "a 11, b 12 and c 13 of d 14"
    three, four = (source(f"They sold {each} boats.").scores[0] for each in pairs)
    assert four < three


def test_only_sentences_that_are_compared_are_split_into_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    split: list[str] = []

    def words_of(text: str) -> list[str]:
        split.append(text)
        return text.split()

    monkeypatch.setattr(extract, "words_of", words_of)
    assert len(source(document(60)).choose_number(3)) == 3
    assert 0 < len(split) == len(set(split)) < 20
