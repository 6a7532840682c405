"""Replies of a model, checked sentence by sentence, and the summary that they are added to."""

from __future__ import annotations

import pytest

from llmtool.tasks.summarize.compose import Composer, make_sentence
from llmtool.tasks.summarize.draft import Draft
from llmtool.tasks.summarize.extract import ScoredSource
from llmtool.tasks.summarize.length import parse_length
from llmtool.tasks.summarize.source import read_sentences

ONE = "Ann Ode will lead the new unit of the port from May."
NEAR_COPY = "Bob Ray will lead the new unit of the port from June."
OTHER = "The repairs cost 40 million euros, and half of it is paid by the state."


def make_draft() -> Draft:
    source = ScoredSource(read_sentences(f"{ONE} {NEAR_COPY} {OTHER}"))
    return Draft(source, range(3), budget=40, style="paragraph", lower_words=frozenset())


@pytest.mark.parametrize(
    ("reply", "fault"),
    [
        (f"{ONE} {NEAR_COPY}", "it repeats an earlier sentence"),
        ("The repairs cost 50 million euros.", "the number 50 million is not in its source"),
        ("Ann Ray will lead the new unit of the port.", "the name Ann Ray is not in its source"),
        ("The repairs will be paid by the state, as it was said of the repairs and of the port.",
         "it says less than its source in as many words"),
    ],
    ids=["near-copy", "number", "name", "little"],
)  # fmt: skip
def test_first_sentence_that_fails_ends_the_first_reply(reply: str, fault: str) -> None:
    draft = make_draft()
    draft.feed(f"{reply} The repairs cost 40 million euros.")
    draft.end("stop")
    assert draft.faults == [fault]
    assert draft.needs_retry and not draft.is_done
    assert "The repairs cost 40 million euros." not in draft.accepted


def test_sentence_that_fails_again_is_replaced_by_the_best_of_the_source() -> None:
    draft = make_draft()
    for _ in range(2):
        draft.feed("The repairs cost 50 million euros.")
        draft.end("stop")
    assert draft.is_done and not draft.accepted
    assert [(each.text, each.kind) for each, _ in draft.ready] == [(ONE, "quoted")]


def test_composer_adds_no_near_copy_and_nothing_too_long() -> None:
    composer = Composer(
        parse_length("20 words", "paragraph"), "paragraph", cite=False, max_words=99
    )
    composer.add(make_sentence(ONE, 0, 9, "quoted"))
    assert not composer.fits(NEAR_COPY)
    assert not composer.fits(OTHER)
    assert composer.fits("It rained for a week.")
