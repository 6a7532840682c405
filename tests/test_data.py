"""The labelled texts in tests/data have the form that calibration and benchmarks require."""

from __future__ import annotations

import json
import re
from collections import Counter
from functools import cache
from itertools import combinations
from pathlib import Path

import pytest

DATA = Path(__file__).resolve().parent / "data"
LABELS = {
    "sentiment": {"positive", "negative"},
    "spam": {"spam", "ham"},
    "urgency": {"urgent", "normal"},
    "topic": {"sports", "business", "science", "politics", "travel"},
    "intent": {"billing", "bug", "account", "shipping", "feature"},
}
SPLITS = ("tune", "test")
ATTACKS = {"label-word", "instruction", "fake-turn", "control-token", "template", "format"}
FILES = (*LABELS, "hostile")
MIN_RECORDS = {"hostile": 30}
MAX_SIMILARITY = 0.7


@cache
def records(name: str) -> tuple[dict[str, str], ...]:
    lines = (DATA / f"{name}.jsonl").read_text(encoding="utf-8").split("\n")
    assert lines.pop() == "", "the last line has no newline"
    return tuple(json.loads(line) for line in lines)


def tokens(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text.lower()))


def jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / len(one | other)


def test_every_file_is_checked() -> None:
    assert {path.stem for path in DATA.glob("*.jsonl")} == set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_files_have_enough_records_with_the_expected_keys(name: str) -> None:
    keys = {"text", "label", "set", "attack"} if name == "hostile" else {"text", "label", "split"}
    assert len(records(name)) >= MIN_RECORDS.get(name, 60)
    for record in records(name):
        assert set(record) == keys, record
        assert all(isinstance(value, str) for value in record.values()), record
        assert record["text"] == record["text"].strip() != "", record


@pytest.mark.parametrize("name", LABELS)
def test_labels_are_balanced_in_each_split(name: str) -> None:
    counts = Counter((record["split"], record["label"]) for record in records(name))
    assert set(counts) == {(split, label) for split in SPLITS for label in LABELS[name]}
    assert len(set(counts.values())) == 1, counts


def test_hostile_texts_have_a_known_set_label_and_attack() -> None:
    for record in records("hostile"):
        assert record["label"] in LABELS[record["set"]], record
    assert {record["set"] for record in records("hostile")} == set(LABELS)
    assert {record["attack"] for record in records("hostile")} == ATTACKS


@pytest.mark.parametrize("name", LABELS)
def test_hostile_texts_contain_a_wrong_label(name: str) -> None:
    for record in records("hostile"):
        if record["set"] == name:
            wrong = LABELS[name] - {record["label"]}
            assert wrong & tokens(record["text"]), record


@pytest.mark.parametrize("name", FILES)
def test_texts_are_not_similar(name: str) -> None:
    words = [(record["text"], tokens(record["text"])) for record in records(name)]
    similar = [
        (one, other)
        for (one, a), (other, b) in combinations(words, 2)
        if one == other or jaccard(a, b) > MAX_SIMILARITY
    ]
    assert similar == []


def test_texts_are_in_one_file_only() -> None:
    texts = Counter(record["text"] for name in FILES for record in records(name))
    assert [text for text, count in texts.items() if count > 1] == []
