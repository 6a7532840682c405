"""Classify texts by the model's probabilities of the labels, without generating text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from llmtool.errors import UsageError
from llmtool.option_names import option
from llmtool.tasks.classify.labels import make_labels
from llmtool.tasks.options import ClassifyOptions
from llmtool.tasks.pipeline.collect import map_texts, raise_failures
from llmtool.tasks.pipeline.context import TaskContext
from llmtool.tasks.pipeline.prepare import Case, check_task, no_text_input
from llmtool.tasks.results import Classification

if TYPE_CHECKING:
    from llmtool.prompts.template import Template
    from llmtool.tasks.classify.classifier import Classifier, OnScored
    from llmtool.tasks.classify.labels import Labels
    from llmtool.tasks.classify.recipe_choice import OnProgress

_DEFAULT, _DEFAULT_MULTI = "classify", "classify-multi"


def no_progress(_done: int, _total: int) -> None:
    """Report no progress."""


def chosen_template(options: ClassifyOptions) -> str | Template:
    """Return the template of a call, or its name."""
    return options.template or (_DEFAULT_MULTI if options.multi else _DEFAULT)


def classify(
    context: TaskContext,
    text: str | Iterable[str],
    labels: Labels | None,
    options: ClassifyOptions,
) -> Classification[Any] | Iterator[Classification[Any]] | list[Classification[Any]]:
    """Classify one text or several; see `Toolbox.classify`."""

    def run(texts: Iterable[str]) -> Iterator[Classification[Any]]:
        classifier = prepare_classifier(context, labels, options)
        name = classifier.text_input
        if name is None:
            raise no_text_input(classifier.template)
        if options.calibrate == "balanced" and isinstance(texts, Iterator):
            raise UsageError("a balanced batch cannot be an iterator; pass a list to classify")
        cases = (Case(id=i, variables={name: text}) for i, text in enumerate(texts))
        return raise_failures(classifier.outcomes(context.engine, cases))

    return map_texts(text, run)


def prepare_classifier(
    context: TaskContext,
    labels: Labels | None,
    options: ClassifyOptions,
    *,
    on_scored: OnScored | None = None,
    on_choice: OnProgress = no_progress,
) -> Classifier:
    """Check the options of a call and load its template, once for all texts.

    Args:
        on_scored: called after each text with the number of texts scored so far.
        on_choice: called with (done, total) prompts while the recipe is chosen.
    """
    if options.calibrate == "balanced" and context.model.reproducible:
        raise UsageError(
            "a balanced batch cannot be reproducible; its scores depend on all its texts"
        )
    template = context.load_template(chosen_template(options))
    check_task(template, "classify")
    if labels is not None:
        made = make_labels(labels)
    elif template.output.kind == "labels":
        made = make_labels(template.output.labels)
    else:
        raise UsageError(
            f"no labels: template {template.name!r} declares none; "
            f"pass some, such as {option('labels', ['positive', 'negative'])}"
        )
    from llmtool.tasks.classify.classifier import Classifier

    kind: type[Classifier] = Classifier
    if options.calibrate == "balanced":
        from llmtool.tasks.classify import balanced

        kind = balanced.BalancedClassifier
        if options.multi:
            kind = balanced.BalancedMultiLabelClassifier
    elif options.multi:
        from llmtool.tasks.classify.multi_label import MultiLabelClassifier

        kind = MultiLabelClassifier
    return kind(context, template, made, options, on_scored=on_scored, on_choice=on_choice)
