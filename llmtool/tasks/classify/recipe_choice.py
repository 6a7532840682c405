"""Choose the recipe that labels the given examples best, by cross-validation.

A recipe replaces a simpler one only if it is better on the examples by more than noise, so that
examples do not make the labels worse. The choice is deterministic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain

import msgspec

from llmtool.engine.types import Engine, ScoreRequest
from llmtool.errors import ContextOverflow
from llmtool.prompts.cases import Example
from llmtool.tasks.classify.cross_validation import (
    Outcome,
    PromptScores,
    Row,
    choose,
    cross_validate,
)
from llmtool.tasks.classify.examples import rounds_of
from llmtool.tasks.classify.prompts import LabelPrompts
from llmtool.tasks.classify.recipes import Form, Recipe, Shown
from llmtool.tasks.classify.scores import stream_scores
from llmtool.tasks.pipeline.collect import raise_failures
from llmtool.tasks.pipeline.prepare import Case

VERSION = 1  # of the recipes and the rule; a change invalidates cached choices
MIN_PER_LABEL = 2
MAX_EXAMPLES, MAX_SHOWN = 60, 24
_MAX_FOLDS = 3

MakePrompts = Callable[[Form, tuple[Example, ...]], LabelPrompts]
OnProgress = Callable[[int, int], None]  # (number of prompts scored, number of all prompts)


class RecipeChoice(msgspec.Struct, frozen=True, kw_only=True):
    """The chosen recipe, the bias to add to its scores, and its cross-validated accuracy.

    `n_examples` were compared, at most `MAX_EXAMPLES`, with `n_prompts`.
    """

    recipe: Recipe
    bias: list[float]
    accuracy: float
    n_examples: int
    n_prompts: int


class ExampleSet:
    """Examples in rounds, each with at most one example per label, and in folds of rounds.

    Args:
        names: the labels; each needs at least `MIN_PER_LABEL` examples.
    """

    def __init__(self, examples: Iterable[Example], names: Sequence[str]) -> None:
        rounds = rounds_of(examples)
        n_rounds = max(MIN_PER_LABEL, MAX_EXAMPLES // len(names))
        self.rounds = rounds[:n_rounds]
        self.examples = tuple(chain(*self.rounds))
        self.truth = [names.index(each.output) for each in self.examples]
        self.n_folds = min(_MAX_FOLDS, *(self.truth.count(i) for i in range(len(names))))
        self.folds = [n % self.n_folds for n, each in enumerate(self.rounds) for _ in each]

    def shown(self, shown: Shown) -> tuple[Example, ...]:
        """Return the examples in the prompt of a recipe."""
        return {"none": (), "one": self.rounds[0], "all": self.examples}[shown]

    def trials(self, shown: Shown) -> list[tuple[tuple[Example, ...], list[int]]]:
        """Return, for each fold, the examples in the prompt, and the indexes of those to score."""
        if shown == "none":
            return [((), list(range(len(self.examples))))]
        numbers = [n for n, each in enumerate(self.rounds) for _ in each]
        trials = []
        for fold in range(self.n_folds):
            if shown == "one":
                scored = [i for i, number in enumerate(numbers) if number != fold]
            else:
                scored = [i for i, other in enumerate(self.folds) if other == fold]
            part = [each for i, each in enumerate(self.examples) if i not in scored]
            trials.append((tuple(part), scored))
        return trials


def can_choose(examples: Iterable[Example], names: Sequence[str]) -> bool:
    """Return whether every label has enough examples to compare recipes."""
    given = [each.output for each in examples]
    return all(given.count(name) >= MIN_PER_LABEL for name in names)


def choose_recipe(
    engine: Engine,
    given: ExampleSet,
    recipes: Sequence[Recipe],
    make_prompts: MakePrompts,
    *,
    on_progress: OnProgress,
) -> RecipeChoice:
    """Score the examples with the prompts of recipes, and choose one of these.

    Examples are scored by prompts that do not contain them, and corrected by a bias that does not
    depend on them. Recipes whose prompts do not fit the context are not compared. For n examples of
    k labels and two forms, up to 2 * (5 n - 3 k + 16) prompts are scored.

    Args:
        recipes: the first is the simplest, and needs no example.
        make_prompts: returns the prompts of a form with the given examples.
    """
    kinds = dict.fromkeys((each.form, each.shown) for each in recipes)
    trials = {
        kind: [(make_prompts(kind[0], part), scored) for part, scored in given.trials(kind[1])]
        for kind in kinds
        if _fits(engine, make_prompts(kind[0], given.shown(kind[1])), given)
    }
    total = sum(len(_requests(given, *trial)) for each in trials.values() for trial in each)
    n_scored = 0

    def score(prompts: LabelPrompts, scored: Sequence[int]) -> list[Row]:
        nonlocal n_scored
        rows: list[Row] = []
        for answer in raise_failures(stream_scores(engine, _requests(given, prompts, scored))):
            rows.append(answer.scores.totals)
            n_scored += 1
            on_progress(n_scored, total)
        return rows

    scores = {}
    for kind, parts in trials.items():
        tables, neutral = [], []
        for prompts, scored in parts:
            rows = score(prompts, scored)
            tables.append(dict(zip(scored, rows, strict=False)))
            neutral += rows[len(scored) :]
        if kind[1] == "all":  # each table has a part of the examples
            tables = [dict(chain(*(table.items() for table in tables)))]
        scores[kind] = PromptScores(tables=tables, neutral=neutral)
    outcomes: dict[Recipe, Outcome] = {}
    for recipe in recipes:
        found = scores.get((recipe.form, recipe.shown))
        outcome = found and cross_validate(found, recipe.bias, given.truth, given.folds)
        if outcome:
            outcomes[recipe] = outcome
    recipe = choose(outcomes)
    return RecipeChoice(
        recipe=recipe,
        bias=outcomes[recipe].bias,
        accuracy=outcomes[recipe].accuracy,
        n_examples=len(given.examples),
        n_prompts=total,
    )


def _requests(
    given: ExampleSet, prompts: LabelPrompts, scored: Sequence[int]
) -> list[ScoreRequest]:
    """Return the requests of a trial, with neutral sentences if no example is shown."""
    cases = [Case(id=i, variables=given.examples[i].variables) for i in scored]
    neutral = [] if prompts.template.examples else prompts.anchor_requests()
    return [*map(prompts.request, cases), *neutral]


def _fits(engine: Engine, prompts: LabelPrompts, given: ExampleSet) -> bool:
    """Return whether few examples are shown, and leave half of the context for a text."""
    n_shown = len(prompts.template.examples)
    if n_shown == 0 or n_shown > max(MAX_SHOWN, len(given.rounds[0])):
        return n_shown == 0
    request = prompts.request(Case(variables=given.examples[0].variables))
    try:
        n_tokens = len(engine.tokenize(request.prompt).token_ids)
    except ContextOverflow:
        return False
    return n_tokens <= engine.info.n_ctx // 2
