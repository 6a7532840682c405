"""Sentences: where they end, and that no character is lost."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtool.text.sentences import split_sentences


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ('It cost $3.50. "Why?" he asked.', ["It cost $3.50. ", '"Why?" ', "he asked."]),
        ("Ask Dr. Ode, e.g. here. Then go.", ["Ask Dr. Ode, e.g. here. ", "Then go."]),
        ("Am 3. Mai kam Ode. Es regnete.", ["Am 3. Mai kam Ode. ", "Es regnete."]),
        ("it rained. it stopped.", ["it rained. ", "it stopped."]),
        ("The Inc. of Acme left.", ["The Inc. of Acme left."]),
        ("雨が降った。「そう。」と言った。", ["雨が降った。", "「そう。」", "と言った。"]),
        (
            "Garage no. 14 of Art. 5 is let. No. 3 not.",
            ["Garage no. 14 of Art. 5 is let. ", "No. 3 not."],
        ),
        ("I said no. Then I left.", ["I said no. ", "Then I left."]),
        ("A title\n\nIt rained.", ["A title\n\n", "It rained."]),
        ("  \n", ["  \n"]),
        ("", []),
    ],
    ids=[
        "numbers",
        "abbreviations",
        "dates",
        "lower case",
        "short",
        "CJK",
        "before digits",
        "no",
        "blank",
        "space",
        "",
    ],
)
def test_sentences_end_at_their_punctuation(text: str, sentences: list[str]) -> None:
    assert split_sentences(text) == sentences


@pytest.mark.parametrize("unit", ["!", ".", '."', '"', "。", "\n ", "a."])
def test_hostile_text_takes_linear_time(unit: str) -> None:
    started = time.process_time()
    split_sentences(f"One {unit * (200_000 // len(unit))}x two. Three.")
    assert time.process_time() - started < 5


@given(st.text(alphabet="aB1 .!?。」\n", max_size=80))
def test_sentences_add_up_to_the_text(text: str) -> None:
    assert "".join(split_sentences(text)) == text
