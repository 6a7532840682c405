"""Run records with candidates, and score the replies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec

from llmtool.engine.types import Failed
from llmtool.evals.answers import Answer, to_answer
from llmtool.tasks.classify.task import prepare_classifier
from llmtool.tasks.generate.template import run_each
from llmtool.tasks.options import ClassifyOptions, GenerateOptions, SamplingOptions
from llmtool.tasks.pipeline.context import TaskContext
from llmtool.tasks.pipeline.prepare import Case
from llmtool.tasks.results import Classification
from llmtool.tuning.metrics import Metric, score
from llmtool.tuning.records import Record

if TYPE_CHECKING:
    from llmtool.prompts.template import Template
    from llmtool.tasks.classify.classifier import Classifier


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """The reply to a record, and its score.

    For labels, `totals` are their raw log-probabilities, and `bias` the correction added to them.
    """

    answer: Answer
    score: float
    totals: tuple[float, ...] = ()
    bias: tuple[float, ...] = ()


class Runner:
    """Runs records with templates on one model. `n_calls` counts the records.

    Args:
        metric: the metric of the scores.
        on_call: called after each record with the number of records so far.
    """

    def __init__(
        self, context: TaskContext, metric: Metric, on_call: Callable[[int], None]
    ) -> None:
        self._context, self._metric, self._on_call = context, metric, on_call
        self._classifiers: list[tuple[Template, Classifier]] = []
        self.n_calls = 0

    def run(
        self, template: Template, records: Sequence[Record], *, is_original: bool = False
    ) -> list[Run]:
        """Return the runs of records, which are one batch, so that they share the prefix.

        A saved calibration is used only for the original.
        """
        made = []
        results = self._results(template, records, is_original)
        for record, result in zip(records, results, strict=True):
            answer = to_answer(result)
            totals: tuple[float, ...] = ()
            bias: tuple[float, ...] = ()
            if isinstance(result, Classification):
                totals, bias = tuple(result.logprobs.values()), tuple(result.bias.values())
            value = score(self._metric, record, answer)
            made.append(Run(answer=answer, score=value, totals=totals, bias=bias))
            self.count(1)
        return made

    def count(self, n: int) -> None:
        """Count calls."""
        self.n_calls += n
        self._on_call(self.n_calls)

    def _results(
        self, template: Template, records: Sequence[Record], is_original: bool
    ) -> Iterable[object]:
        if template.output.kind == "labels":
            return self._classify(template, records, is_original)
        limit = template.params.get("max_tokens")
        sampling = SamplingOptions(temperature=0.0, seed=0, max_tokens=limit)
        options = GenerateOptions(template=template, sampling=sampling)
        return run_each(self._context, (record.variables for record in records), options)

    def _classify(
        self, template: Template, records: Sequence[Record], is_original: bool
    ) -> Iterator[object]:
        classifier = self._classifier(template, is_original)
        cases = (Case(id=i, variables=record.variables) for i, record in enumerate(records))
        for outcome in classifier.outcomes(self._context.engine, cases):
            yield outcome.error if isinstance(outcome, Failed) else outcome

    def _classifier(self, template: Template, is_original: bool) -> Classifier:
        """Return the classifier of a template, which scores the texts for its bias only once."""
        for known, classifier in self._classifiers:
            if known is template:
                return classifier
        options = ClassifyOptions(template=template, calibrate="auto" if is_original else "anchors")
        self._classifiers.append((template, prepare_classifier(self._context, None, options)))
        return self._classifiers[-1][1]
