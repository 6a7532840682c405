"""Build the requests that score the labels of a text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from llmtool.engine.types import ScoreRequest
from llmtool.prompts.output import Output
from llmtool.tasks.classify.calibration import NEUTRAL
from llmtool.tasks.classify.examples import split_examples
from llmtool.tasks.classify.labels import Label, candidates, normalize_label
from llmtool.tasks.options import ClassifyOptions
from llmtool.tasks.pipeline.prepare import Case, identify

if TYPE_CHECKING:
    from llmtool.prompts.template import Template

LABELS_INPUT = "labels"  # the input of a template that takes the labels with their descriptions
_FIRST_ANCHOR_ID = -1_000_000  # ids of cases are not negative


class LabelPrompts:
    """The template, examples and labels of one call.

    Some examples are part of each prompt. The `held_out` ones are anchors, with equal numbers of
    each label. `candidates` are the label texts that are scored.

    Args:
        template: the template's variant for the model.
        questions: values for the template's inputs, one mapping for each question about a text.

    Raises:
        UsageError: an example has an unknown label.
    """

    def __init__(
        self,
        template: Template,
        labels: Sequence[Label],
        options: ClassifyOptions,
        *,
        model: str,
        questions: Sequence[Mapping[str, Any]] = ({},),
    ) -> None:
        self._options, self._model, self._questions = options, model, questions
        if options.form is not None:
            template = msgspec.structs.replace(template, form=options.form)
        examples = options.examples
        if examples is None:
            known = {normalize_label(label.name) for label in labels}
            examples = [each for each in template.examples if normalize_label(each.output) in known]
        text_input = template.primary_input() or "text"
        shown, self.held_out = split_examples(examples, labels, text_input=text_input)
        output = Output(kind="labels", labels={label.name: label.description for label in labels})
        self.template = msgspec.structs.replace(template, examples=shown, output=output)
        follows_text = bool(template.prefill) or template.form == "completion"
        self.candidates, self._scores_end = candidates(labels, after_text=follows_text)
        if self._scores_end and template.form == "completion":
            # The answer to a completion prompt is one line.
            self.candidates = tuple(f"{text}\n" for text in self.candidates)
            self._scores_end = False
        # A template that declares labels describes them itself.
        is_described = template.output.kind != "labels" and any(each.description for each in labels)
        self._descriptions = [_describe(label) for label in labels] if is_described else []

    @property
    def text_input(self) -> str | None:
        """The template input for the text."""
        return self.template.primary_input(frozenset(self._given))

    def request(self, case: Case, *, question: int = 0) -> ScoreRequest:
        """Return the request that scores the labels of a text, for one of the questions."""
        return self._request(case, self._questions[question])

    def anchor_requests(self) -> list[ScoreRequest]:
        """Return requests for texts whose average label is known, grouped by question.

        Held-out examples apply to all questions at once. The list is empty if there are none and
        the template requires inputs other than the text.
        """
        text_input = self.text_input
        required = {name for name, spec in self.template.inputs.items() if spec.required}
        if self.held_out:
            requests = [self._request(Case(variables=each.variables), {}) for each in self.held_out]
        elif text_input is None or required - self._given - {text_input}:
            return []
        else:
            requests = [
                self._request(Case(variables={text_input: text}), question)
                for question in self._questions
                for text in NEUTRAL
            ]
        return [
            msgspec.structs.replace(each, id=_FIRST_ANCHOR_ID + i)
            for i, each in enumerate(requests)
        ]

    def key(self, model_identity: str, *parts: object) -> str:
        """Return a hash of the prompts, a model and `parts`."""
        options = [self._options.system, self._options.variables, self._descriptions]
        examples = _content(self.template.examples)
        content = [self.candidates, self._scores_end, *options, examples, *parts]
        return identify(self.template, model_identity, *content).hex()

    def identity(self, *parts: object) -> bytes:
        """Return a hash of the template, all examples, the model's name and `parts`."""
        examples = _content((*self.template.examples, *self.held_out))
        return identify(self.template, self._model, *parts, examples)

    @property
    def _given(self) -> set[str]:
        """The inputs that have a value already, besides the text."""
        return {*self._options.variables, *self._questions[0]}

    def _request(self, case: Case, question: Mapping[str, Any]) -> ScoreRequest:
        from llmtool.prompts.render import render

        values = {**self._options.variables, **case.variables, **question}
        for name, text in (("prompt", case.prompt), ("input", case.input)):
            if text is not None:
                values[name] = text
        if LABELS_INPUT in self.template.inputs and self._descriptions:
            values.setdefault(LABELS_INPUT, self._descriptions)
        rendered = render(
            self.template, values, model_name=self._model, system=self._options.system
        )
        return ScoreRequest(
            prompt=rendered.prompt(), candidates=self.candidates, end=self._scores_end, id=case.id
        )


def _describe(label: Label) -> str:
    return f"{label.name}: {label.description}" if label.description else label.name


def _content(examples: Sequence[Any]) -> list[tuple[Any, Any]]:
    return [(example.variables, example.output) for example in examples]
