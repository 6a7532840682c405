"""The data of the benchmarks are complete, and summaries are measured as described."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
import summary_quality as quality  # noqa: E402

DOCUMENTS = sorted((BENCHMARKS / "data" / "summaries").glob("*.md"))
LABELS = sorted((BENCHMARKS / "data" / "labels").glob("*.jsonl"))
SOURCE = """
Tom Rask and Helene Dietz met on 4 and 5 June. Repairs took 19 days, and 31.4 percent was lost.
In 2021 it was 74 million pounds. The price is now 129.

| town | cost (euros) |
|---|---|
| Ombre | 1,140 |
"""


def read(path: Path) -> tuple[dict[str, Any], str]:
    _, head, text = path.read_text(encoding="utf-8").split("---\n", 2)
    return yaml.safe_load(head), text


def test_a_passage_contains_its_answers() -> None:
    for each in yaml.safe_load((BENCHMARKS / "data" / "questions.yaml").read_text("utf-8")):
        assert len(each["answered"]) == len(each["unanswered"]) == 5
        text = " ".join(each["text"].split())
        assert all(re.search(form, text, re.IGNORECASE) for form in each["answered"].values())


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_a_document_states_its_ten_facts(path: Path) -> None:
    head, text = read(path)
    assert len(head["facts"]) == 10
    assert quality.facts_in(text, head["facts"]) == list(head["facts"])


@pytest.mark.parametrize(
    "path",
    # Some of each kind and language with the other tests.
    [
        pytest.param(each, marks=[pytest.mark.long] * (i % 4 > 0))
        for i, each in enumerate(DOCUMENTS)
    ],
    ids=lambda path: path.stem,
)
def test_nothing_of_a_document_counts_as_invented(path: Path) -> None:
    head, text = read(path)
    assert quality.invented(text, text, language=head.get("language", "en")) == []


KINDS = ("report", "meeting", "mail", "technical")


def test_both_halves_have_documents_of_each_kind() -> None:
    heads = [read(path)[0] for path in DOCUMENTS]
    counts = Counter((head["half"], head["kind"]) for head in heads)
    halves = ("tuning", "test", "held-out")
    assert min(counts[half, kind] for half in halves for kind in KINDS) == 2
    for half in ("fresh", "latest"):
        assert min(counts[half, kind] for kind in (*KINDS, "news")) == 1


def test_a_fact_needs_all_patterns_in_one_sentence() -> None:
    facts = {"the budget": [r"4\.2 million", "budget|cost"]}
    assert quality.facts_in("The cost rose to 4.2 million.", facts)
    assert not quality.facts_in("4.2 million people live there. The budget was cut.", facts)
    assert quality.facts_in("- 4.2 million: the budget", facts)


@pytest.mark.parametrize(
    "summary",
    [
        "Helene Dietz met Tom Rask on June 5th.",
        "Almost 31.4% was lost.",
        "The price rose to £129m.",
        "Ombre paid €1,140.",
        "It took nineteen days.",
    ],
)
def test_fair_wordings_are_not_invented(summary: str) -> None:
    assert quality.invented(summary, SOURCE) == []


@pytest.mark.parametrize(
    ("summary", "expected"),
    [
        ("They met on 7 June.", ["7", "7/6"]),
        ("Repairs took 19 percent.", ["19 percent"]),
        ("Tom Dietz paid.", ["Tom Dietz"]),
        ("The NASA paid.", ["NASA"]),
        ("It took twenty days.", ["twenty days"]),
        ("Then Springfield paid 1,141 euros.", ["1141 euros", "Springfield"]),
    ],
)
def test_inventions_are_found(summary: str, expected: list[str]) -> None:
    assert quality.invented(summary, SOURCE) == expected


def test_sentences_that_differ_in_a_name_are_near_copies() -> None:
    text = "Ann will lead the new unit in Ombre. The bus stops there. Bob will lead the new unit."
    assert quality.copies(text) == ["Bob will lead the new unit."]


@pytest.mark.parametrize("n_words", [50, 100, 200])
def test_summaries_without_a_model_keep_the_length(n_words: int) -> None:
    head, text = read(DOCUMENTS[0])
    for summary in (
        quality.lead(text, n_words),
        quality.central(text, n_words),
        quality.richest(text, head["facts"], n_words),
    ):
        assert 0 < quality.count_words(summary) <= n_words


@pytest.mark.parametrize("path", LABELS, ids=lambda path: path.stem)
def test_label_sets_have_halves_and_examples(path: Path) -> None:
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    texts = Counter(record["text"] for record in records)
    assert max(texts.values()) == 1
    counts = Counter(
        (record["split"], label)
        for record in records
        for label in record.get("labels") or [record["label"]]
    )
    names = {label for _, label in counts}
    if path.stem not in ("misnamed", "named"):  # they have the examples of `topic`
        assert all(counts["examples", name] >= 3 for name in names)
    if path.stem not in ("topic", "intent"):  # their texts are in tests/data
        is_held_out = path.stem in ("school", "hotel", "council", "software", "garage")
        splits = ("test",) if is_held_out else ("tune", "test")
        splits = ("tune",) if path.stem == "clinic" else splits
        assert all(counts[split, name] >= 4 for split in splits for name in names)
