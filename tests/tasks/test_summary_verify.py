"""Written sentences are compared with their source."""

from __future__ import annotations

import pytest

from llmtool.tasks.summarize.source import read_sentences
from llmtool.tasks.summarize.verify import Copies, Passage, lower_words

SOURCE = read_sentences(
    "The town library of Marbury will close for repairs from 3 March to 30 June. The roof has "
    "leaked since the storm in November, and 400 books were lost. A bus with 2,000 books will stop "
    "at the market square on Tuesdays and Fridays. The repairs cost 1.2 million euros, of which "
    "the state pays half. Mrs Okafor leads the works. Tom Reed did not sign the contract. The bus "
    "leaves at 9:40. About 40 percent of the readers are children.\n\n"
    "| line | length |\n|---|---|\n| Aran | 12 km |\n"
)


def find_fault(text: str) -> str | None:
    passage = Passage(SOURCE, lower_words(SOURCE))
    return passage.find_fault(text, passage.align(text))


@pytest.mark.parametrize(
    "text",
    [
        "Marbury's library closes from 3 March to 30 June.",
        "A bus with 2000 books stops at the market square on Tuesdays.",
        "The repairs cost €1,200,000.",
        "400 books were lost in the storm in November.",
        "Tom Reed did not sign the contract.",
        "Tom Reed never signed the contract.",
        "The bus leaves at 9.40 am.",
        "40% of readers are children.",
        "Repairs cost 1.2 million euros.",
        "The length of Aran is 12 km.",
        "The line Aran has a length of 12 kilometres.",
        "Since the storm in November, the roof has leaked and 400 books were lost.",
    ],
)
def test_sentence_with_the_facts_of_its_source_passes(text: str) -> None:
    assert find_fault(text) is None


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("The repairs cost 1.3 million euros.", "the number 1.3 million is not in its source"),
        ("The repairs cost 1.2 euros.", "the number 1.2 is not in its source"),
        ("The repairs cost 1.2 million dollars.", "belongs to something else"),
        ("The roof lost 2,000 books.", "belongs to something else"),
        ("40 of the readers are children.", "the number 40 is not in its source"),
        ("The library will close from 30 March to 3 June.", "the date 3 June is not in"),
        ("The library of Marburg will close for repairs.", "the name Marburg is not in"),
        ("Smith leads the works.", "the name Smith is not in its source"),
        ("Tom Okafor leads the works.", "the name Tom Okafor is not in its source"),
        ("Tom Reed signed the contract.", "it drops a negation of its source"),
        ("The state does not pay half of the repairs.", "its source has no negation"),
        ("Readers love the friendly old bus very much.", "most of its words are not in"),
        ("Cats sleep.", "its source"),
    ],
)
def test_sentence_that_differs_from_its_source_fails(text: str, fault: str) -> None:
    assert fault in (find_fault(text) or "")


def test_chinese_is_compared_by_characters() -> None:
    source = read_sentences("镇图书馆因屋顶漏水从3月3日闭馆。维修费用为120万元。")
    passage = Passage(source)
    for text, passes in [("图书馆3月3日闭馆。", True), ("维修费用为130万元。", False),
                         ("学校的花园很大。", False)]:  # fmt: skip
        assert (passage.find_fault(text, passage.align(text)) is None) is passes, text


def test_alignment_has_the_sentences_that_were_combined() -> None:
    passage = Passage(SOURCE)
    text = "Mrs Okafor leads the works, and the repairs cost 1.2 million euros."
    assert passage.align(text).indexes == (3, 4)


def test_near_copies_are_recognized() -> None:
    copies = Copies()
    copies.add("The bridge of Rem was built by Ann Ode in 1912.")
    assert copies.has("The bridge of Kall was built by Bob Lind in 1912.")
    assert copies.has("the bridge of Rem was built by Ann Ode in 1912")
    assert not copies.has("Ann Ode also planned the harbour of Kall.")
