"""Build the requests that score the labels of a text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from llmtool.engine.types import ScoreRequest
from llmtool.prompts.cases import Example
from llmtool.prompts.output import Output
from llmtool.tasks.classify.calibration import NAMING, NEUTRAL
from llmtool.tasks.classify.labels import Label, candidates
from llmtool.tasks.classify.recipes import Form
from llmtool.tasks.options import ClassifyOptions
from llmtool.tasks.pipeline.prepare import Case, identify

if TYPE_CHECKING:
    from llmtool.prompts.template import Template

MAX_NAMING = 48  # sentences that name labels
LABELS_INPUT = "labels"  # the input of a template that takes the labels with their descriptions
_FIRST_ANCHOR_ID = -1_000_000  # ids of cases are not negative


class LabelPrompts:
    """The template, examples and labels of one call.

    `candidates` are the label texts that are scored.

    Args:
        template: the template's variant for the model.
        form: the form of the prompt; None uses the template's.
        shown: the examples that are part of each prompt.
        held_out: other examples, with equal numbers of each label, which are anchors.
    """

    def __init__(
        self,
        template: Template,
        labels: Sequence[Label],
        options: ClassifyOptions,
        *,
        model: str,
        form: Form | None = None,
        shown: tuple[Example, ...] = (),
        held_out: tuple[Example, ...] = (),
    ) -> None:
        self._options, self._model = options, model
        self._names = [label.name for label in labels]
        self.held_out = held_out
        if form is not None:
            template = msgspec.structs.replace(template, form=form)
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
        return self.template.primary_input(frozenset(self._options.variables))

    def anchor_requests(self) -> list[ScoreRequest]:
        """Return requests for texts whose average label is known: held-out examples, else neutral.

        The list is empty if there are none and the template requires inputs other than the text.
        """
        cases = [Case(variables=each.variables) for each in self.held_out]
        return self._as_anchors(cases) if cases else self.neutral_requests()

    def neutral_requests(self) -> list[ScoreRequest]:
        """Return requests for neutral sentences; none if the template requires other inputs."""
        return self._sentence_requests(NEUTRAL)

    def naming_requests(self) -> tuple[list[ScoreRequest], list[int]]:
        """Return requests for sentences that name a label, and the index of that label in each.

        There are at most `MAX_NAMING`, and none if the template requires other inputs.
        """
        pairs = [(form, i) for form in NAMING for i in range(len(self._names))]
        pairs = pairs[:: -(-len(pairs) // MAX_NAMING)]
        texts = [form.format(self._names[i]) for form, i in pairs]
        return self._sentence_requests(texts), [i for _, i in pairs]

    def _sentence_requests(self, texts: Sequence[str]) -> list[ScoreRequest]:
        text_input = self.text_input
        required = {name for name, spec in self.template.inputs.items() if spec.required}
        if text_input is None or required - {*self._options.variables, text_input}:
            return []
        return self._as_anchors([Case(variables={text_input: text}) for text in texts])

    def _as_anchors(self, cases: Sequence[Case]) -> list[ScoreRequest]:
        return [
            msgspec.structs.replace(self.request(case), id=_FIRST_ANCHOR_ID + i)
            for i, case in enumerate(cases)
        ]

    def key(self, model_identity: str, *parts: object) -> str:
        """Return a hash of the prompts, a model and `parts`."""
        options = [self._options.system, self._options.variables, self._descriptions]
        examples = content_of(self.template.examples)
        content = [self.candidates, self._scores_end, *options, examples, *parts]
        return identify(self.template, model_identity, *content).hex()

    def identity(self, *parts: object) -> bytes:
        """Return a hash of the template, all examples, the model's name and `parts`."""
        examples = content_of((*self.template.examples, *self.held_out))
        return identify(self.template, self._model, *parts, examples)

    def request(self, case: Case) -> ScoreRequest:
        """Return the request that scores the labels of a text."""
        from llmtool.prompts.render import render

        values = {**self._options.variables, **case.variables}
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


def content_of(examples: Iterable[Example]) -> list[tuple[Any, str]]:
    """Return examples as plain values, for a hash."""
    return [(example.variables, example.output) for example in examples]
