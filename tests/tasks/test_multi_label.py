"""`classify` with several labels per text: thresholds from neutral sentences and examples."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from tasks.test_classify import make_box

from llmtool.errors import InputError, UsageError
from llmtool.tasks.classify.calibration import NAMING, NEUTRAL
from llmtool.tasks.classify.labelled_texts import read_multi_labelled_texts
from llmtool.tasks.classify.prompts import MAX_NAMING
from llmtool.tasks.classify.task import prepare_classifier
from llmtool.tasks.options import ClassifyOptions
from llmtool.tasks.pipeline.prepare import Case

LABELS = ["a", "b", "c", "d"]


def named_in(prompt: str) -> str | None:
    """Return the label that an anchor names, with its space."""
    found = [label for label in "abcd" for form in NAMING if f'"{form.format(label)}"' in prompt]
    return f" {found[0]}" if found else None


def by_words(prompt: str, label: str) -> float:
    """Raise the score of each label that the text names, and of "a" everywhere.

    On neutral sentences, the labels are more likely in turn.
    """
    text = prompt.rpartition('Text: "')[2]
    text = text[: text.index('"')]
    name = label.strip()
    score = -9.0 + (2.0 if name == "a" else 0.0)
    if named_in(prompt):
        return score
    if text in NEUTRAL:
        likely = LABELS[NEUTRAL.index(text) % 4]
        return score + (1.0 if name == likely else 0.0)
    return score + (4.0 if name in text.split() else 0.0)


def test_all_labels_that_stand_out_fit(tmp_path: Path) -> None:
    box = make_box(tmp_path, by_words)
    for text, expected in (("a", {"a"}), ("b c", {"b", "c"}), ("a d b", {"a", "b", "d"})):
        result = box.classify(text, LABELS, multi=True)
        assert set(result.labels or ()) == expected, text
        assert result.label is None and not result.near_tie
    result = box.classify("nothing of this", LABELS, multi=True)
    assert result.labels == () and result.reason == "all scores are below 0.5"


def test_each_text_takes_one_prompt(tmp_path: Path) -> None:
    box = make_box(tmp_path, by_words)
    box.classify(["a", "b c"], LABELS, multi=True)
    assert len(box.engine.prompts) == len(NEUTRAL) + len(NAMING) * len(LABELS) + 2


def test_many_labels_need_few_more_prompts(tmp_path: Path) -> None:
    labels = [f"label {i}" for i in range(40)]
    box = make_box(tmp_path, lambda prompt, label: -float(len(label)))
    box.classify("a", labels, multi=True)
    assert len(NEUTRAL) < len(box.engine.prompts) - 1 <= len(NEUTRAL) + MAX_NAMING


def test_next_call_has_the_same_bias(tmp_path: Path) -> None:
    box = make_box(tmp_path, by_words)
    classifier = prepare_classifier(box.context, LABELS, ClassifyOptions(multi=True))
    case = Case(id=0, variables={"text": "b c"})
    one, other = (classifier.classify_one(box.engine, case) for _ in range(2))
    assert one.scores == other.scores


def test_prompt_asks_what_the_text_is_about(tmp_path: Path) -> None:
    box = make_box(tmp_path, by_words)
    box.classify("b c", LABELS, multi=True)
    assert box.engine.prompts[-1].endswith("This text is about")
    box.classify("b c", LABELS, multi=True, template="classify")
    assert box.engine.prompts[-1].endswith("Label:")


def test_score_matches_a_hand_worked_example(tmp_path: Path) -> None:
    # Two labels differ by 4 on the text, in turn by +2 and -2 on neutral sentences, and by -4 where
    # the other one is named. So their bias differs by 2, the log-ratios are 3 and -3, and 1 is the
    # threshold as well as the unit, since neutral sentences have a spread of 2 and 0 in turn.
    def scores(prompt: str, label: str) -> float:
        if '"text"' in prompt:
            return -1.0 if label == " a" else -5.0
        if named := named_in(prompt):
            return -1.0 if label == named else {" a": -7.0, " b": -3.0}[label]
        is_even = sum(sentence in prompt for sentence in NEUTRAL[::2])
        return -1.0 if (label == " a") == bool(is_even) else -3.0

    result = make_box(tmp_path, scores).classify("text", ["a", "b"], multi=True)
    assert result.scores == pytest.approx(
        {"a": 1 / (1 + math.exp(-2)), "b": 1 / (1 + math.exp(4))}, abs=1e-3
    )


def test_balanced_batch_matches_a_hand_worked_example(tmp_path: Path) -> None:
    # "a" is more likely by 8 or 4 on the texts of the batch, so its bias there is -6, and 0 on
    # anchors. Half of it, -3 between both labels, leaves differences of 5 and 1, or
    # log-ratios of +-2.5 and +-0.5. The spread of neutral sentences is 1 from differences of +-2,
    # and with the bias it is 2.5 or 0.5 in turn, on average 1.5.
    def scores(prompt: str, label: str) -> float:
        for text, difference in (("one", 8.0), ("two", 4.0)):
            if f'"{text}"' in prompt:
                return -1.0 if label == " a" else -1.0 - difference
        if named_in(prompt):
            return -3.0
        is_even = sum(sentence in prompt for sentence in NEUTRAL[::2])
        return -1.0 if (label == " a") == bool(is_even) else -3.0

    box = make_box(tmp_path, scores)
    one, two = box.classify(["one", "two"], ["a", "b"], multi=True, calibrate="balanced")
    assert "equally frequent in 2 texts" in one.warnings[0]
    for result, ratio in ((one, 2.5), (two, 0.5)):
        ratio /= math.sqrt(ratio * 1.5)
        expected = {"a": 1 / (1 + math.exp(1 - ratio)), "b": 1 / (1 + math.exp(1 + ratio))}
        assert result.scores == pytest.approx(expected, abs=0.01)


def test_balanced_batch_uses_the_thresholds_of_examples(tmp_path: Path) -> None:
    box = make_box(tmp_path, by_words)
    examples = [{"text": each, "labels": each.split()} for each in ("a", "b", "c", "d")]
    texts = ["a", "b", "c d", "d"]
    found = box.classify(texts, LABELS, multi=True, calibrate="balanced", examples=examples)
    assert [set(each.labels or ()) for each in found] == [set(each.split()) for each in texts]


def test_examples_move_the_thresholds(tmp_path: Path) -> None:
    # Texts about "b" score a little higher for "c" too, which the examples show.
    def scores(prompt: str, label: str) -> float:
        leaks = label == " c" and '"b' in prompt
        return by_words(prompt, label) + (3.0 if leaks else 0.0)

    box = make_box(tmp_path, scores)
    without = box.classify("b", LABELS, multi=True)
    assert set(without.labels or ()) == {"b", "c"}
    examples = [("b", ["b"]), {"text": "b b", "labels": ["b"]}, {"text": "b x", "label": "b"}]
    examples += [("x c", ["c"]), ("y c", ["c"]), ("z c d", ["c", "d"]), ("u a", ["A"])]
    learned = box.classify("b", LABELS, multi=True, examples=examples)
    assert learned.scores["c"] < without.scores["c"]


def test_min_confidence_is_the_lowest_score_that_fits(tmp_path: Path) -> None:
    box = make_box(tmp_path, by_words)
    scores = box.classify("b", LABELS, multi=True).scores
    close = box.classify("b", LABELS, multi=True, min_confidence=scores["b"] - 0.01)
    assert close.labels == ("b",) and close.near_tie and close.row()["near_tie"]
    none = box.classify("b", LABELS, multi=True, min_confidence=scores["b"] + 0.001)
    assert none.labels == () and none.near_tie


def test_invalid_examples_are_rejected(tmp_path: Path) -> None:
    box = make_box(tmp_path, by_words)
    for examples, reason in (
        ([("x", ["a"]), ("x", ["z"])], "^example 2: unknown label 'z'"),
        (["x"], "^example 1: it must be a pair of a text and its labels"),
        ([{"labels": ["a"]}], "^example 1: no text"),
    ):
        with pytest.raises(UsageError, match=reason):
            box.classify("x", LABELS, multi=True, examples=examples)


def test_examples_are_read_from_files(tmp_path: Path) -> None:
    lines, table = tmp_path / "a.jsonl", tmp_path / "a.csv"
    lines.write_text('{"text": "x", "labels": ["a", "b"]}\n{"text": "y", "label": "c"}\n')
    assert read_multi_labelled_texts(str(lines)) == [("x", ["a", "b"]), ("y", ["c"])]
    table.write_text('body,labels\nx,"a, b"\ny,a;c\nz,"[""a""]"\nu,\n')
    assert read_multi_labelled_texts(str(table)) == [
        ("x", ["a", "b"]), ("y", ["a", "c"]), ("z", ["a"]), ("u", []),
    ]  # fmt: skip
    for text, reason in (
        ('{"text": "x"}', "label: must be a list of labels"),
        ('{"text": "x", "labels": [1]}', "labels: must be a list of labels"),
        ('{"text": "x", "labels": "[a"}', "labels: not a valid JSON array"),
        (f'{{"text": "x", "labels": "{"[" * 100_000}"}}', "labels: not a valid JSON array"),
    ):
        lines.write_text(text)
        with pytest.raises(InputError, match=reason):
            read_multi_labelled_texts(str(lines))
