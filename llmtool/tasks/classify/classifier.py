"""Classify any number of texts: from prompts to scores to classifications."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from llmtool.engine.types import Engine, Failed, ScoreRequest
from llmtool.errors import UsageError
from llmtool.option_names import option
from llmtool.tasks.classify import calibration
from llmtool.tasks.classify.bias import Anchors, LabelBias
from llmtool.tasks.classify.calibration import Calibration
from llmtool.tasks.classify.chooser import RecipeChooser
from llmtool.tasks.classify.chunks import split_case
from llmtool.tasks.classify.labels import Label, label_name, read_prior
from llmtool.tasks.classify.mentions import LabelMask
from llmtool.tasks.classify.recipe_choice import OnProgress, RecipeChoice
from llmtool.tasks.classify.scores import ScoredRequest, stream_groups
from llmtool.tasks.classify.thresholds import read_thresholds
from llmtool.tasks.options import ClassifyOptions
from llmtool.tasks.pipeline.collect import raise_failures
from llmtool.tasks.pipeline.context import TaskContext
from llmtool.tasks.pipeline.prepare import Case
from llmtool.tasks.results import Classification, LabelRecipe, total_usage

if TYPE_CHECKING:
    from llmtool.prompts.template import Template

OnScored = Callable[[int], None]


class ScoredText(NamedTuple):
    """The scores of a text: one request for each chunk, and for each chunk that names labels."""

    requests: list[ScoredRequest]
    n_chunks: int


NEAR_TIE = 1.35  # ratio of the two best scores
MASKED_WEIGHT = 1.5  # of a text without the names of labels, relative to the text with them
MIN_CALIBRATION_TEXTS = 20  # with fewer labelled texts, anchors are more accurate


class Classifier:
    """The labels and options of one call, ready for any number of texts.

    If the options have examples, the recipe is chosen when the first text is scored.

    Args:
        template: the template's variant for the model.
        on_scored: called after each text with the number of texts scored so far.
        on_choice: called with (done, total) prompts while the recipe is chosen.

    Raises:
        UsageError: an option is out of range, or an example has an unknown label.
    """

    def __init__(
        self,
        context: TaskContext,
        template: Template,
        labels: tuple[Label, ...],
        options: ClassifyOptions,
        *,
        on_scored: OnScored | None = None,
        on_choice: OnProgress,
    ) -> None:
        self.labels, self.options, self.model = labels, options, context.model.name
        self.names = [label.name for label in labels]
        self._on_scored, self._mask = on_scored, LabelMask(self.names)
        self._log_prior = read_prior(options.prior, labels)
        self._thresholds = read_thresholds(options)
        calibrate = options.calibrate
        if calibrate == "balanced" and options.prior:
            raise UsageError(
                "a balanced batch assumes equally frequent labels; "
                f"remove {option('prior')}, or do not balance"
            )
        self.chooser = RecipeChooser(
            template,
            labels,
            options,
            model=self.model,
            model_identity=context.cache_identity,
            cache=context.anchors,
            on_progress=on_choice,
        )
        self.prompts = self.chooser.base
        self.choice: RecipeChoice | None = None
        self.anchors = Anchors(
            n_labels=len(labels), model_identity=context.cache_identity, cache=context.anchors
        )
        self.bias = LabelBias(
            self.prompts,
            self.anchors,
            n_labels=len(labels),
            model_identity=context.model.identity,
            uses_anchors=calibrate in ("auto", "anchors"),
            choice_key=self.chooser.key,
            calibrations=context.calibrations if calibrate == "auto" else None,
        )

    @property
    def template(self) -> Template:
        return self.prompts.template

    @property
    def text_input(self) -> str | None:
        """The template input for the text."""
        return self.prompts.text_input

    @property
    def recipe(self) -> LabelRecipe | None:
        """The recipe that was chosen with the examples, None if there was nothing to choose."""
        if self.choice is None:
            return None
        return LabelRecipe(
            name=self.choice.recipe.name,
            accuracy=self.choice.accuracy,
            n_examples=self.choice.n_examples,
        )

    @property
    def columns(self) -> list[str]:
        return ["label", "score", "scores", "near_tie"]

    def identity(self) -> bytes:
        options = msgspec.structs.replace(self.options, examples=None, template=None)
        return self.chooser.base.identity(self.labels, [options, self.bias.calibration])

    def request(self, case: Case) -> ScoreRequest:
        """Return the first request of a case."""
        return self.prompts.request(case)

    def outcomes(
        self, engine: Engine, cases: Iterable[Case | Failed | None]
    ) -> Generator[Classification | Failed, None, None]:
        """Classify cases in one engine stream; yield results in the order of the cases."""
        for id, scored in self.score(engine, cases):
            yield (
                Failed(id, scored.error) if isinstance(scored, Failed) else self.classify(scored)
            )

    def classify_one(self, engine: Engine, case: Case) -> Classification:
        """Classify a single case."""
        (result,) = raise_failures(self.outcomes(engine, [case]))
        return result

    def prepare(self, engine: Engine, *, use_calibration: bool = True) -> None:
        """Choose the recipe, and measure the bias, before the first text.

        Args:
            use_calibration: whether to use a saved calibration.
        """
        self.load_choice()
        if self.choice is None:
            self._use(self.chooser.choose(engine))
        measured = None if self.choice is None else self.choice.bias
        self.bias.prepare(engine, use_calibration=use_calibration, measured=measured)

    def check_batch_file(self) -> None:
        """Check that a batch file can have the requests; see `BatchTask`."""
        if self.chooser.key is not None:
            raise UsageError(
                f"{option('examples')} choose the recipe by their scores, before the first text, "
                f"which a batch file cannot; omit them, or set {option('calibrate', 'none')}"
            )

    def load_choice(self) -> bool:
        """Use the cached choice of a recipe; return whether one has to be made first."""
        if self.choice is None:
            self._use(self.chooser.load())
        return self.chooser.key is not None and self.choice is None

    def _use(self, choice: RecipeChoice | None) -> None:
        self.choice = choice
        if choice is not None:
            self.prompts = self.chooser.prompts(choice.recipe)

    def score(
        self, engine: Engine, cases: Iterable[Case | Failed | None]
    ) -> Generator[tuple[int, ScoredText | Failed], None, None]:
        """Yield the id and the scores of each case, in the order of the cases."""
        self.prepare(engine)
        n_chunks: dict[int, int] = {}

        def requests(case: Case) -> list[ScoreRequest]:
            chunks = [case]
            if self.options.overflow == "chunk":
                chunks = split_case(engine, self.prompts, case)
            n_chunks[case.id] = len(chunks)
            return [self.prompts.request(each) for each in [*chunks, *self.masked(chunks)]]

        for n_scored, (id, group) in enumerate(stream_groups(engine, cases, requests), 1):
            if self._on_scored is not None:
                self._on_scored(n_scored)
            n = n_chunks.pop(id, 1)
            yield id, group if isinstance(group, Failed) else ScoredText(group, n)

    def masked(self, cases: Iterable[Case]) -> Iterator[Case]:
        """Yield the cases whose texts name labels, without these names."""
        name = self.text_input
        for case in cases:
            text = case.variables.get(name or "")
            masked = self._mask.apply(text) if isinstance(text, str) else None
            if masked is not None:
                variables = {**case.variables, str(name): masked}
                yield msgspec.structs.replace(case, variables=variables)

    def calibrate(self, engine: Engine, texts: Sequence[tuple[str, str]]) -> Calibration:
        """Calibrate on pairs of a text and its label; save the calibration and use it.

        Raises:
            UsageError: there are too few texts, a label has none, or a text has an unknown label.
        """
        if len(texts) < MIN_CALIBRATION_TEXTS:
            raise UsageError(
                f"calibration needs at least {MIN_CALIBRATION_TEXTS} labelled texts; "
                f"got {len(texts)}"
            )
        truth = self.label_indices(label for _, label in texts)
        missing = sorted(set(range(len(self.labels))) - set(truth))
        if missing:
            name = self.names[missing[0]]
            raise UsageError(f"calibration needs texts of every label; none has {name!r}")
        self.prepare(engine, use_calibration=False)
        name = self.text_input or "text"
        cases = [Case(id=i, variables={name: text}) for i, (text, _) in enumerate(texts)]
        groups = stream_groups(engine, cases, lambda case: [self.prompts.request(case)])
        scored = raise_failures(group for _, group in groups)
        return self.bias.calibrate([group[0].scores.totals for group in scored], truth)

    def label_indices(self, labels: Iterable[object]) -> list[int]:
        """Return the indices of the labels of texts.

        Raises:
            UsageError: a label is unknown; the message has the number of its text, from 1.
        """
        found = []
        for number, label in enumerate(labels, 1):
            try:
                found.append(self.names.index(label_name(label, self.labels)))
            except UsageError as exc:
                raise UsageError(f"text {number}: {exc}") from None
        return found

    def classify(self, scored: ScoredText) -> Classification:
        """Return the classification of a text from its scores, weighted by tokens."""
        correction, raw = self.bias.correction, self.mean_totals(scored)
        probabilities = self.mean_probabilities(scored)
        best = max(range(len(probabilities)), key=probabilities.__getitem__)
        coverage = min(1.0, math.fsum(map(math.exp, raw)))
        reason = self._thresholds.reason(probabilities, coverage)
        label = self.labels[best]
        return Classification(
            text="" if reason else label.name,
            label=None if reason else label.name if label.value is None else label.value,
            score=probabilities[best],
            scores=dict(zip(self.names, probabilities, strict=True)),
            logprobs=dict(zip(self.names, raw, strict=True)),
            bias=dict(zip(self.names, correction.bias, strict=True)),
            coverage=coverage,
            scoring=scored.requests[0].scores.method,
            form=self.template.form,
            calibrated=correction.n_texts > 0,
            near_tie=is_near_tie(probabilities),
            recipe=self.recipe,
            reason=reason,
            model=self.model,
            usage=total_usage(each.scores.usage for each in scored.requests),
            seconds=max(each.seconds for each in scored.requests),
            warnings=chunk_warnings(scored.n_chunks),
        )

    def mean_probabilities(self, scored: ScoredText) -> list[float]:
        """Return the corrected scores, which add up to 1; shape (n_labels,).

        The prior is added after the temperature is applied, as in Bayes' rule.
        """
        correction = self.bias.correction
        rows = [
            calibration.softmax(
                calibration.add(correction.apply(each.scores.totals), self._log_prior)
            )
            for each in scored.requests
        ]
        return self._mean(rows, scored)

    def mean_totals(self, scored: ScoredText) -> list[float]:
        """Return the weighted mean log-probabilities of a text's requests."""
        return self._mean([each.scores.totals for each in scored.requests], scored)

    def _mean(self, rows: Sequence[Sequence[float]], scored: ScoredText) -> list[float]:
        weights = [
            each.scores.usage.prompt_tokens * (MASKED_WEIGHT if i >= scored.n_chunks else 1)
            for i, each in enumerate(scored.requests)
        ]
        total = math.fsum(weights)
        return [
            math.fsum(value * weight for value, weight in zip(column, weights, strict=True)) / total
            for column in zip(*rows, strict=True)
        ]


def is_near_tie(probabilities: Sequence[float]) -> bool:
    """Return whether the best label is hardly more likely than the second.

    Rounding, and words that matter little, can then change the label.

    Example:
        >>> is_near_tie([0.4, 0.35, 0.25]), is_near_tie([0.6, 0.3, 0.1])
        (True, False)
    """
    best, second = sorted(probabilities, reverse=True)[:2]
    return best < NEAR_TIE * second


def chunk_warnings(n_chunks: int) -> tuple[str, ...]:
    """Return the warning that a text was scored in several chunks, if it was."""
    if n_chunks == 1:
        return ()
    return (f"text longer than the context: averaged the scores of {n_chunks} chunks",)
