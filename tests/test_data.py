"""The labelled texts under tests/data keep the form that tuning and measuring rely on."""

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
LEAST = {"hostile": 30}
NEAR = 0.7


@cache
def records(name: str) -> tuple[dict[str, str], ...]:
    lines = (DATA / f"{name}.jsonl").read_text(encoding="utf-8").split("\n")
    assert lines.pop() == "", "the last line has no end"
    return tuple(json.loads(line) for line in lines)


def tokens(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text.lower()))


def jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / len(one | other)


def test_every_file_is_checked() -> None:
    assert {path.stem for path in DATA.glob("*.jsonl")} == set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_records_have_their_keys_and_enough_of_them(name: str) -> None:
    keys = {"text", "label", "set", "attack"} if name == "hostile" else {"text", "label", "split"}
    assert len(records(name)) >= LEAST.get(name, 60)
    for record in records(name):
        assert set(record) == keys, record
        assert all(isinstance(value, str) for value in record.values()), record
        assert record["text"] == record["text"].strip() != "", record


@pytest.mark.parametrize("name", LABELS)
def test_each_split_has_as_many_of_each_label(name: str) -> None:
    counts = Counter((record["split"], record["label"]) for record in records(name))
    assert set(counts) == {(split, label) for split in SPLITS for label in LABELS[name]}
    assert len(set(counts.values())) == 1, counts


def test_hostile_texts_name_a_set_one_of_its_labels_and_an_attack() -> None:
    for record in records("hostile"):
        assert record["label"] in LABELS[record["set"]], record
    assert {record["set"] for record in records("hostile")} == set(LABELS)
    assert {record["attack"] for record in records("hostile")} == ATTACKS


@pytest.mark.parametrize("name", LABELS)
def test_hostile_texts_ask_for_a_label_that_is_wrong(name: str) -> None:
    for record in records("hostile"):
        if record["set"] == name:
            wrong = LABELS[name] - {record["label"]}
            assert wrong & tokens(record["text"]), record


@pytest.mark.parametrize("name", FILES)
def test_no_two_texts_are_nearly_the_same(name: str) -> None:
    words = [(record["text"], tokens(record["text"])) for record in records(name)]
    near = [
        (one, other)
        for (one, a), (other, b) in combinations(words, 2)
        if one == other or jaccard(a, b) > NEAR
    ]
    assert near == []


def test_no_text_is_in_two_files() -> None:
    texts = Counter(record["text"] for name in FILES for record in records(name))
    assert [text for text, count in texts.items() if count > 1] == []
