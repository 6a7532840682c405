"""Recipes of `classify`: how examples choose one for a model and labels."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tasks.test_classify import make_box

from llmtool.prompts.cases import Example
from llmtool.tasks.classify.calibration import add, bias_of_balanced, softmax
from llmtool.tasks.classify.cross_validation import Outcome, PromptScores, choose, cross_validate
from llmtool.tasks.classify.recipe_choice import MAX_EXAMPLES, ExampleSet
from llmtool.tasks.classify.recipes import Recipe, enumerate_recipes
from llmtool.tasks.pipeline.disk_cache import DiskCache

EXAMPLES = [(f"{noun} {label}", label) for noun in ("one", "two", "three") for label in "ab"]


def is_right(prompt: str, label: str) -> bool:
    """Whether the last text of a prompt ends with the label."""
    return prompt.rpartition('"')[0].endswith(label.strip())


def n_shown(prompt: str) -> int:
    return prompt.count('Text: "') - 1


def is_chat(prompt: str) -> bool:
    return prompt.startswith(("user:", "system:"))


def biased(prompt: str, label: str) -> float:
    """Find the label of real texts, but prefer "a" for them, and "b" for neutral sentences."""
    preferred = "a" if any(noun in prompt for noun in ("one", "two", "three")) else "b"
    return (
        (2.0 if is_right(prompt, label) else 0.0) + (3.0 if label.strip() == preferred else 0) - 9
    )


def imitating(prompt: str, label: str) -> float:
    """Find the label only with examples in the prompt."""
    return -1.0 if n_shown(prompt) and is_right(prompt, label) else -3.0


def greedy(prompt: str, label: str) -> float:
    """Find the label only with many examples in the prompt."""
    return -1.0 if n_shown(prompt) > 2 and is_right(prompt, label) else -3.0


def talking(prompt: str, label: str) -> float:
    """Find the label only in a chat."""
    return -1.0 if is_chat(prompt) and is_right(prompt, label) else -3.0


def test_recipes_are_distinct_and_start_with_the_simplest() -> None:
    recipes = enumerate_recipes()
    assert len({recipe.name for recipe in recipes}) == len(recipes) == 18
    assert recipes[0] == Recipe()
    assert enumerate_recipes(forms=["chat"])[0] == Recipe(form="chat")


@pytest.mark.parametrize(
    ("scores", "recipe"),
    [
        (biased, Recipe(bias="examples")),
        (imitating, Recipe(shown="one", bias="examples")),
        (greedy, Recipe(shown="all", bias="examples")),
        (talking, Recipe(form="chat")),
    ],
)
def test_examples_choose_the_recipe_that_suits_the_model(
    tmp_path: Path, scores: Callable[[str, str], float], recipe: Recipe
) -> None:
    results = make_box(tmp_path, scores).classify(
        ["one more a", "one more b"], ["a", "b"], examples=EXAMPLES
    )
    assert [result.label for result in results] == ["a", "b"]
    assert results[0].form == recipe.form
    assert results[0].to_dict()["recipe"] == {
        "name": recipe.name,
        "accuracy": 1.0,
        "n_examples": 6,
    }


def test_simplest_recipe_wins_a_tie(tmp_path: Path) -> None:
    box = make_box(tmp_path, lambda prompt, label: -1.0 if label == " a" else -3.0)
    result = box.classify("four b", ["a", "b"], examples=EXAMPLES)
    assert result.recipe is not None
    assert (result.recipe.name, result.recipe.accuracy) == (Recipe().name, 0.5)


def test_options_limit_the_recipes(tmp_path: Path) -> None:
    box = make_box(tmp_path, talking)
    labels = ["a", "b"]
    result = box.classify("x a", labels, examples=EXAMPLES, form="completion")
    assert result.form == "completion"
    result = box.classify("x a", labels, examples=EXAMPLES, calibrate="none")
    assert result.recipe is not None
    assert result.recipe.name == Recipe(form="chat", bias="none").name
    assert result.bias == {"a": 0, "b": 0}


def test_choice_is_cached(tmp_path: Path) -> None:
    def n_prompts(**options: Any) -> int:
        box = make_box(tmp_path, imitating)
        box.context.anchors = DiskCache(tmp_path / "cache")
        box.classify("four", **options)
        return len(box.engine.prompts)

    labels = ["a", "b"]
    assert n_prompts(labels=labels, examples=EXAMPLES) > 40
    assert n_prompts(labels=labels, examples=EXAMPLES) == 1
    assert n_prompts(labels=labels, examples=EXAMPLES[::-1]) > 40
    assert n_prompts(labels=labels, examples=EXAMPLES, system="Choose.") > 40


def test_one_example_per_label_is_shown_without_a_choice(tmp_path: Path) -> None:
    box = make_box(tmp_path, imitating)
    result = box.classify("two b", ["a", "b"], examples=EXAMPLES[:2])
    assert (result.label, result.recipe) == ("b", None)
    assert all(n_shown(prompt) == 2 for prompt in box.engine.prompts)


def test_examples_that_do_not_fit_are_not_shown(tmp_path: Path) -> None:
    box = make_box(tmp_path, greedy, n_ctx=40)
    result = box.classify("four b", ["a", "b"], examples=EXAMPLES)
    assert result.recipe is not None and "all" not in result.recipe.name


def test_number_of_scored_examples_is_bounded(tmp_path: Path) -> None:
    box = make_box(tmp_path, imitating)
    result = box.classify("four b", ["a", "b"], examples=EXAMPLES * 100)
    assert result.recipe is not None and result.recipe.n_examples == MAX_EXAMPLES
    assert len(box.engine.prompts) < 12 * MAX_EXAMPLES


def test_trials_do_not_score_the_examples_that_they_show() -> None:
    examples = [Example({"text": f"{label}{i}"}, label) for i in range(4) for label in "ab"]
    given = ExampleSet([*examples, Example({"text": "a9"}, "a")], ["a", "b"])
    for shown in ("none", "one", "all"):
        scored_at_least_once = set()
        for part, scored in given.trials(shown):
            assert not any(given.examples[i] in part for i in scored)
            scored_at_least_once |= set(scored)
        assert scored_at_least_once == set(range(9))
    assert given.shown("one") == (examples[0], examples[1]) == given.trials("one")[0][0]


def test_bias_of_an_example_is_measured_without_its_fold() -> None:
    rows = [[-1.0, -4.0], [-1.0, -2.5], [-2.0, -2.5], [-2.5, -2.0]]
    scores = PromptScores(tables=[dict(enumerate(rows))], neutral=[])
    outcome = cross_validate(scores, "examples", [0, 1, 0, 1], [0, 0, 1, 1])
    assert outcome is not None
    for i, others in ((0, rows[2:]), (1, rows[2:]), (2, rows[:2]), (3, rows[:2])):
        right = softmax(add(rows[i], bias_of_balanced(others)))[i % 2]
        assert outcome.logprobs[i] == pytest.approx(math.log(right))


def test_recipe_must_be_better_to_replace_a_simpler_one() -> None:
    def outcome(hits: list[float], logprobs: list[float]) -> Outcome:
        return Outcome(hits=hits, logprobs=logprobs, bias=[0.0])

    simple, chat, shown = Recipe(), Recipe(form="chat"), Recipe(shown="one")
    base = {simple: outcome([1, 0, 1, 0], [-0.2, -1.0, -0.3, -0.9])}
    less_accurate = outcome([1, 0, 0, 0], [-0.1, -0.7, -0.7, -0.7])
    likelier = outcome([1, 0, 1, 0], [-0.1, -0.8, -0.2, -0.8])
    better = outcome([1, 1, 1, 0], [-0.1, -0.5, -0.2, -0.8])
    assert choose({**base, chat: base[simple]}) == simple
    assert choose({**base, chat: less_accurate}) == simple
    assert choose({**base, chat: likelier}) == chat
    assert choose({**base, shown: likelier}) == simple
    assert choose({**base, shown: better}) == shown
    assert choose({**base, chat: likelier, shown: better}) == shown
