"""Classification: hand-worked scores, calibration, thresholds, labels and options."""

from __future__ import annotations

import enum
import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest

from llmtool.config import Folders, Settings
from llmtool.engine.llama.engine import LocalEngine
from llmtool.engine.llama.model import load_model
from llmtool.engine.scripted import ScriptedEngine
from llmtool.engine.types import Failed, Prompt, ScoreRequest
from llmtool.errors import ContextOverflow, InputError, UsageError
from llmtool.tasks.classify import balanced
from llmtool.tasks.classify.calibration import (
    NEUTRAL,
    bias_of_balanced,
    bias_of_neutral,
    softmax,
)
from llmtool.tasks.classify.labelled_texts import read_labelled_texts
from llmtool.tasks.classify.labels import candidates, make_labels
from llmtool.tasks.classify.scores import stream_groups
from llmtool.tasks.classify.task import prepare_classifier
from llmtool.tasks.options import ClassifyOptions
from llmtool.tasks.pipeline.prepare import Case
from llmtool.toolbox import Toolbox


def make_box(tmp_path: Path, scores: Callable[[str, str], float], **options: object) -> Toolbox:
    folders = Folders(config=tmp_path, data=tmp_path, cache=tmp_path / "cache", hub_cache=tmp_path)
    engine = ScriptedEngine(scores=scores, **options)  # type: ignore[arg-type]
    return Toolbox(engine=engine, folders=folders, settings=Settings(), environ={})


def test_score_matches_a_hand_worked_example(tmp_path: Path) -> None:
    # The model scores "a" 0.6 and "b" 0.2 on neutral sentences, and 0.3 and 0.4 on the text.
    # Neutral shares: 0.75 and 0.25. So 0.3/0.75 = 0.4 against 0.4/0.25 = 1.6: b with 0.8.
    def scores(prompt: str, label: str) -> float:
        row = {" a": 0.3, " b": 0.4} if "the text" in prompt else {" a": 0.6, " b": 0.2}
        return math.log(row[label])

    result = make_box(tmp_path, scores).classify("this is the text", ["a", "b"])
    assert result.label == "b"
    assert result.scores == pytest.approx({"a": 0.2, "b": 0.8})
    assert result.coverage == pytest.approx(0.7)
    assert result.logprobs == pytest.approx({"a": math.log(0.3), "b": math.log(0.4)})
    raw = make_box(tmp_path, scores).classify("this is the text", ["a", "b"], calibrate="none")
    assert raw.scores == pytest.approx({"a": 3 / 7, "b": 4 / 7})


def test_prior_matches_a_hand_worked_example(tmp_path: Path) -> None:
    box = make_box(tmp_path, lambda prompt, label: math.log(0.5))
    result = box.classify("x", ["a", "b"], prior={"a": 3, "b": 1})
    assert result.scores == pytest.approx({"a": 0.75, "b": 0.25})


@pytest.mark.parametrize(
    ("method", "sizes"),
    [("exact", [1] * len(NEUTRAL)), ("top-k", [1, len(NEUTRAL) - 1])],
)
def test_neutral_sentences_are_scored_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, sizes: list[int]
) -> None:
    """Results would depend on what is computed together; hosted servers compute as they like."""
    box = make_box(tmp_path, lambda prompt, label: math.log(0.5))
    asked: list[int] = []
    score = ScriptedEngine.score

    def count(engine: ScriptedEngine, requests: Iterable[Any]) -> Iterator[Any]:
        batch = list(requests)
        asked.append(len(batch))
        for each in score(engine, batch):
            yield each if isinstance(each, Failed) else msgspec.structs.replace(each, method=method)

    monkeypatch.setattr(ScriptedEngine, "score", count)
    box.classify("x", ["a", "b"])
    assert asked == [*sizes, 1]


def test_balanced_anchors_remove_the_bias() -> None:
    # The bias towards "a" is a factor of 4; the texts are balanced.
    rows = [[math.log(0.9 * 4), math.log(0.1)], [math.log(0.1 * 4), math.log(0.9)]]
    a, b = bias_of_balanced(rows)
    assert b - a == pytest.approx(math.log(4), abs=1e-4)
    assert a + b == pytest.approx(0)


def test_neutral_sentences_make_labels_equally_likely() -> None:
    row = [math.log(0.7), math.log(0.2), math.log(0.1)]
    bias = bias_of_neutral([row, row])
    assert softmax([x + y for x, y in zip(row, bias, strict=True)]) == pytest.approx([1 / 3] * 3)


def test_failed_case_does_not_affect_the_others() -> None:
    def make_requests(case: Case) -> list[ScoreRequest]:
        if case.id == 1:
            raise UsageError("no value for 'tone'")
        return [ScoreRequest(prompt=Prompt(text="x"), candidates=("a", "b"))]

    groups = stream_groups(ScriptedEngine(), [Case(id=i) for i in range(3)], make_requests)
    outcomes = [isinstance(answers, Failed) for _, answers in groups]
    assert outcomes == [False, True, False]


def test_held_out_examples_of_a_template_are_anchors(tmp_path: Path) -> None:
    prompts: list[str] = []

    def scores(prompt: str, label: str) -> float:
        prompts.append(prompt)
        return -1.0 if label == " a" else -2.0

    template = tmp_path / "letters.yaml"
    examples = "".join(
        f"- {{text: {text}, output: {text[-1]}}}\n"
        for text in ("one a", "one b", "two a", "two b", "three a")
    )
    template.write_text(
        "llmtool: 1\nname: letters\ntask: classify\nform: completion\n"
        "inputs: {text: {type: text, required: true}}\n"
        "prompt: 'Text: {{ text }}'\nprefill: 'Label:'\noutput: {labels: [a, b]}\n"
        f"examples:\n{examples}"
    )
    result = make_box(tmp_path, scores).classify("x", template=str(template))
    shown = "Text: one a\nLabel: a\n\nText: one b\nLabel: b\n\n"
    assert list(dict.fromkeys(prompts)) == [
        f"{shown}Text: {text}\nLabel:" for text in ("two a", "two b", "x")
    ]
    assert result.scores == pytest.approx({"a": 0.5, "b": 0.5})
    assert result.recipe is None


def test_text_that_names_a_label_is_also_scored_without_the_name(tmp_path: Path) -> None:
    # The name decides with odds of 8 to 1; without it, the odds are 1 to 4. The prompts have the
    # same length, so that the scores are 2/5 8/9 + 3/5 1/5 and 2/5 1/9 + 3/5 4/5.
    def scores(prompt: str, label: str) -> float:
        odds = 8.0 if "Sports" in prompt else 0.25
        return math.log(odds if label == " sport" else 1.0) - 4

    box = make_box(tmp_path, scores)
    options = {"labels": ["sport", "news"], "calibrate": "none"}
    result = box.classify("Sports fans skip this.", **options)
    assert result.scores == pytest.approx({"sport": 107 / 225, "news": 118 / 225})
    assert box.engine.prompts[-1] == 'Text: "… fans skip this."\nLabel:'
    assert result.warnings == ()
    box.classify(["Transport", "Sport"], **options)
    assert len(box.engine.prompts) == 2 + 2
    box.classify("Sports fans skip this.", ["sport", "news"], calibrate="none", multi=True)
    assert len(box.engine.prompts) == 4 + 1


@pytest.mark.parametrize(
    ("odds", "expected"), [(1.3, True), (1.4, False), (1 / 1.3, True), (1 / 1.4, False)]
)
def test_near_tie_is_marked(tmp_path: Path, odds: float, expected: bool) -> None:
    box = make_box(tmp_path, lambda prompt, label: math.log(odds if label == " a" else 1) - 3)
    result = box.classify("x", ["a", "b"], calibrate="none")
    assert result.near_tie is result.row()["near_tie"] is result.to_dict()["near_tie"] is expected


def test_low_score_gives_no_label(tmp_path: Path) -> None:
    box = make_box(tmp_path, lambda prompt, label: -1.0)
    result = box.classify("x", ["a", "b"], min_confidence=0.6)
    assert (result.label, str(result), result.score) == (None, "", pytest.approx(0.5))
    assert result.reason == "the score is below 0.6"
    assert result.row()["label"] is None


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        # Scores of 0.5, 0.3 and 0.2; the labels have a quarter of the total probability.
        ({}, None),
        ({"min_margin": 0.19, "min_coverage": 0.24}, None),
        ({"min_margin": 0.21}, "the score is less than 0.21 above the second best"),
        ({"min_coverage": 0.26}, "the total probability of the labels is below 0.26"),
        ({"min_confidence": 0.6, "min_margin": 0.9}, "the score is below 0.6"),
    ],
)
def test_text_below_a_threshold_gets_no_label(
    tmp_path: Path, options: dict[str, float], reason: str | None
) -> None:
    shares = {" a": 0.5, " b": 0.3, " c": 0.2}
    box = make_box(tmp_path, lambda prompt, label: math.log(shares[label] / 4))
    result = box.classify("x", ["a", "b", "c"], calibrate="none", **options)  # type: ignore[arg-type]
    assert (result.label, result.reason) == ("a" if reason is None else None, reason)
    assert (result.score, result.coverage) == pytest.approx((0.5, 0.25))


def test_balanced_batch_matches_a_hand_worked_example(tmp_path: Path) -> None:
    # The odds of the two texts, 4 to 1 and 16 to 1, become 1 to 2 and 2 to 1.
    odds = {"one": 4.0, "two": 16.0}

    def scores(prompt: str, label: str) -> float:
        ratio = next(value for text, value in odds.items() if f'"{text}"' in prompt)
        return math.log(0.01 * (ratio if label == " a" else 1.0))

    box = make_box(tmp_path, scores)
    first, second = box.classify(["one", "two"], ["a", "b"], calibrate="balanced")
    assert (first.label, second.label) == ("b", "a")
    assert first.scores == pytest.approx({"a": 1 / 3, "b": 2 / 3}, abs=1e-4)
    assert second.scores == pytest.approx({"a": 2 / 3, "b": 1 / 3}, abs=1e-4)
    assert "equally frequent in 2 texts" in first.warnings[0]


def test_balanced_batch_rejects_iterators_and_raises_errors(tmp_path: Path) -> None:
    box = make_box(tmp_path, lambda prompt, label: -1.0, n_ctx=40)
    with pytest.raises(UsageError, match="cannot be an iterator"):
        next(box.classify(iter(["one", "two"]), ["a", "b"], calibrate="balanced"))
    with pytest.raises(ContextOverflow):
        box.classify(["one", "long " * 100, "two"], ["a", "b"], calibrate="balanced")


def test_balanced_batch_has_a_maximum_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(balanced, "MAX_TEXTS", 3)
    box = make_box(tmp_path, lambda prompt, label: -1.0)
    assert len(box.classify(["x"] * 3, ["a", "b"], calibrate="balanced")) == 3
    counts: list[int] = []
    options = ClassifyOptions(calibrate="balanced")
    classifier = prepare_classifier(box.context, ["a", "b"], options, on_scored=counts.append)
    cases = [Case(id=i, variables={"text": "x"}) for i in range(3)]
    assert len(list(classifier.outcomes(box.engine, cases))) == 3 and counts == [1, 2, 3]
    with pytest.raises(UsageError, match="at most 3 texts"):
        box.classify(["x"] * 4, ["a", "b"], calibrate="balanced")


class Mood(enum.Enum):
    HAPPY = "happy"
    SAD = 2


def test_labels_can_be_a_literal(tmp_path: Path) -> None:
    box = make_box(tmp_path, lambda prompt, label: -1.0 if label == " sad" else -2.0)
    assert box.classify("x", Literal["happy", "sad"], calibrate="none").label == "sad"


def test_labels_can_be_an_enum_or_bool(tmp_path: Path) -> None:
    box = make_box(tmp_path, lambda prompt, label: -1.0 if label in (" SAD", " no") else -2.0)
    assert box.classify("x", Mood, calibrate="none").label is Mood.SAD
    assert list(box.classify("x", Mood).scores) == ["happy", "SAD"]
    assert box.classify("x", bool, calibrate="none").label is False
    assert box.classify("x", Mood, calibrate="none").to_dict()["text"] == "SAD"


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        (["a"], "at least two"),
        ([], "at least two"),
        (["a", ""], "empty"),
        (["a", "A "], "are the same"),
        (["Ａ", "a"], "are the same"),
        (["a\nb", "c"], "must be one line"),
        ("a,b", "a list of strings"),
        ([str(i) for i in range(257)], "too many"),
    ],
)
def test_invalid_labels_are_rejected(labels: object, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        make_labels(labels)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"prior": {"a": 1}}, "prior= has no label 'b'; give"),
        ({"prior": {"a": 1, "b": 0}}, "above 0"),
        ({"prior": {"a": 1, "b": math.nan}}, "must be a number"),
        ({"prior": {"a": 1, "b": math.inf}}, "above 0"),
        ({"minconf": 1}, "unknown option 'minconf'"),
        ({"examples": [{"label": "a", "other": 1}]}, "^example 1: no text"),
        ({"prior": {"a": 1, "b": 1, "c": 1}}, "unknown label 'c'"),
        ({"min_confidence": 1.5}, "between 0 and 1"),
        ({"min_margin": -0.1}, "min_margin=-0.1: must be between 0 and 1"),
        ({"min_coverage": math.nan}, "min_coverage=nan: must be"),
        ({"calibrate": "balanced"}, "has 1 text for 2 labels"),
        ({"calibrate": "balanced", "prior": {"a": 1, "b": 1}}, "remove prior="),
        ({"multi": True, "calibrate": "balanced"}, "has 1 text for 2 labels"),
        ({"multi": True, "min_margin": 0.1}, "min_margin= cannot be used with multi=True"),
        ({"calibrate": "maybe"}, "'auto', 'anchors', 'balanced' or 'none'"),
        ({"examples": [("x", "a"), ("x", "c")]}, "^example 2: unknown label 'c'"),
        ({"examples": ["x"]}, "^example 1: it must be a pair of a text and its label"),
    ],
)
def test_invalid_options_are_rejected(
    tmp_path: Path, options: dict[str, object], reason: str
) -> None:
    box = make_box(tmp_path, lambda prompt, label: -1.0)
    with pytest.raises(UsageError, match=reason):
        box.classify("x", ["a", "b"], **options)  # type: ignore[arg-type]


def test_invalid_text_among_several_raises_its_error(tmp_path: Path) -> None:
    box = make_box(tmp_path, lambda prompt, label: -1.0, n_ctx=40)
    with pytest.raises(ContextOverflow):
        box.classify(["fine", "long " * 100], ["a", "b"])
    with pytest.raises((InputError, UsageError)):
        box.classify(["fine", ""], ["a", "b"])


@pytest.mark.parametrize("kind", ["plain", "recurrent"])
def test_real_scores_add_up_to_one_in_any_label_order(
    tiny_model: Callable[..., Path], tmp_path: Path, kind: str
) -> None:
    engine = LocalEngine(load_model(tiny_model(kind)), n_threads=1)
    folders = Folders(config=tmp_path, data=tmp_path, cache=tmp_path / "cache", hub_cache=tmp_path)
    box = Toolbox(engine=engine, folders=folders, settings=Settings(), environ={})
    for labels in (
        ["sport", "sports", "s"],
        ["愛", "hello there", "Ж"],
        [f"l{i}" for i in range(100)],
    ):
        first = box.classify("the quick brown fox", labels)
        second = box.classify("the quick brown fox", labels[::-1])
        assert math.fsum(first.scores.values()) == pytest.approx(1)
        for name in labels:
            assert first.scores[name] == pytest.approx(second.scores[name], abs=2e-3)
    engine.close()


def test_coverage_of_exhaustive_labels_is_one(tmp_path: Path) -> None:
    # A vocabulary of two letters and an end token; the labels are all texts of one or two letters.
    p = {"a": 0.5, "b": 0.3, "": 0.2}

    def probability(text: str) -> float:
        product = math.prod(p[letter] for letter in text)
        return product * (p[""] if len(text) < 2 else 1.0)

    texts = ["".join(t) for n in (1, 2) for t in itertools.product("ab", repeat=n)]

    def scores(prompt: str, label: str) -> float:
        return math.log(probability(label.strip()))

    result = make_box(tmp_path, scores).classify("x", texts, calibrate="none")
    assert result.coverage == pytest.approx(1 - probability(""))
    assert sum(result.scores.values()) == pytest.approx(1)


def test_label_that_is_a_prefix_of_another_is_scored_with_its_end() -> None:
    assert candidates(make_labels(["sport", "sports"]), after_text=True) == (
        (" sport", " sports"),
        True,
    )
    assert candidates(make_labels(["sport", "news"]), after_text=False)[1] is False


def test_neutral_sentences_are_distinct() -> None:
    assert len(set(NEUTRAL)) >= 16


def test_scores_are_calibrated_on_labelled_texts_from_a_file(tmp_path: Path) -> None:
    # The bias towards "a" is a factor of 20, so that all texts get this label.
    def scores(prompt: str, label: str) -> float:
        is_correct = f"text of{label}" in prompt
        return math.log((0.4 if is_correct else 0.1) * (1 if label == " a" else 0.05))

    path = tmp_path / "texts.csv"
    rows = [f"this is a text of {label},{label}" for label in ("a", "b") * 10]
    path.write_text("\n".join(["body,label", *rows]))
    texts = read_labelled_texts(str(path))
    assert texts[1] == ("this is a text of b", "b") and len(texts) == 20

    box = make_box(tmp_path, scores)
    calibration = box.calibrate(texts, ["a", "b"])
    assert (calibration.n_texts, calibration.accuracy[1]) == (20, 1.0)
    result = make_box(tmp_path, scores).classify("a text of b", ["a", "b"])
    assert result.calibrated and result.label == "b"


def test_split_selects_labelled_texts(tmp_path: Path) -> None:
    path = tmp_path / "texts.jsonl"
    path.write_text(
        '{"text": "one", "label": true, "split": "tune"}\n{"text": "two", "label": "b"}\n'
    )
    assert read_labelled_texts(str(path), split="tune") == [("one", "true")]
    with pytest.raises(InputError, match="no labelled texts in split 'test'"):
        read_labelled_texts(str(path), split="test")
    with pytest.raises(InputError, match="unknown column 'body'; columns: text, label, split"):
        read_labelled_texts(str(path), text_field="body")
