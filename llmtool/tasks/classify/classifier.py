"""A template and labels, ready for any number of texts: prompts to scores to classifications."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from llmtool.engine.types import Engine, Failed, Prompt, ScoreRequest
from llmtool.errors import UsageError
from llmtool.prompts.output import Output
from llmtool.tasks.classify import calibration
from llmtool.tasks.classify.bias import Scales
from llmtool.tasks.classify.calibration import Fit
from llmtool.tasks.classify.chunks import parts_of
from llmtool.tasks.classify.examples import split_examples
from llmtool.tasks.classify.labels import Label, candidates, name_of, read_prior, same_as
from llmtool.tasks.classify.scores import Timed, stream_groups, stream_scores, total_usage
from llmtool.tasks.classify.thresholds import read_doubts
from llmtool.tasks.options import ClassifyOptions
from llmtool.tasks.pipeline.disk_cache import Kept
from llmtool.tasks.pipeline.prepare import Case, each_or_failed, identify
from llmtool.tasks.results import Classification

if TYPE_CHECKING:
    from llmtool.prompts.template import Template

OnScored = Callable[[int], None]
CALIBRATIONS = ("auto", "anchors", "balanced", "none")
MIN_FIT = 20  # labelled texts; fewer say less than the anchors do
LABELS_INPUT = "labels"  # a template with such an input is told which labels there are
_FIRST_ANCHOR = -1_000_000  # ids of anchors, which no case has


class Classifier:
    """All that the texts of one call have in common.

    Args:
        template: already chosen for the model.
        labels: what a text can be.
        model: its name; `model_identity` tells its file from others of that name.
        anchors: where the scores of anchors are kept; None keeps none.
        fits: where calibrations on labelled texts are kept; None looks for none.
        on_scored: gets the number of texts scored after each of them.
        questions: values for the template's inputs, one for each question that a text is asked. A
            single one asks which label fits; several ask of each label apart whether it fits (see
            `tasks.scoring.multi_label`).

    Raises:
        UsageError: an option is out of its range, or an example has a label that is none.
    """

    def __init__(
        self,
        template: Template,
        labels: tuple[Label, ...],
        options: ClassifyOptions,
        *,
        model: str,
        model_identity: str,
        anchors: Kept | None = None,
        fits: Kept | None = None,
        on_scored: OnScored | None = None,
        questions: Sequence[Mapping[str, Any]] = ({},),
    ) -> None:
        self.labels, self.options, self.model = labels, options, model
        self.questions, self._on_scored = questions, on_scored
        self.names = [label.name for label in labels]
        self._model_identity, self._anchors, self._fits = model_identity, anchors, fits
        form = options.form
        if form is not None:
            if form not in ("chat", "completion"):
                raise UsageError(f"form is {form!r}; it must be chat or completion")
            template = msgspec.structs.replace(template, form=form)
        given = options.examples
        if given is None:
            spellings = {same_as(name) for name in self.names}
            given = [each for each in template.examples if same_as(each.output) in spellings]
        material = template.find_material() or "text"
        shown, self._held_back = split_examples(given, labels, material=material)
        output = Output(kind="labels", labels={label.name: label.description for label in labels})
        self.template = msgspec.structs.replace(template, examples=shown, output=output)
        after_text = bool(template.prefill) or template.form == "completion"
        self._candidates, self._end = candidates(labels, after_text=after_text)
        if self._end and template.form == "completion":
            # A completion ends its answer with the line.
            self._candidates = tuple(f"{text}\n" for text in self._candidates)
            self._end = False
        # Of a template's own labels the template says what it wants to.
        is_callers = template.output.kind != "labels"
        described = is_callers and any(label.description for label in labels)
        self._descriptions = [_described(label) for label in labels] if described else []
        self._log_prior = read_prior(options.prior, labels)
        self._doubts = read_doubts(options)
        calibrate = options.calibrate
        if calibrate not in CALIBRATIONS:
            known = ", ".join(CALIBRATIONS)
            raise UsageError(f"calibrate is {calibrate!r}; it must be one of {known}")
        if calibrate == "balanced" and options.prior:
            raise UsageError("a balanced batch has labels that are all as frequent: no prior")
        if options.overflow not in ("error", "chunk"):
            raise UsageError("overflow must be error or chunk")
        self.scales = Scales(
            n_labels=len(labels),
            n_questions=len(questions),
            anchors=self._anchor_requests if calibrate in ("auto", "anchors") else None,
            is_balanced=bool(self._held_back),
            key=self._key,
            kept=anchors,
            fits=fits if calibrate == "auto" else None,
        )

    @property
    def columns(self) -> list[str]:
        """The names of what `Classification.row` holds."""
        return ["label", "score", "scores"]

    def identity(self) -> bytes:
        """Return a hash of all that shapes the results, but for the texts."""
        options = msgspec.structs.replace(self.options, examples=None, template=None)
        told = [options, self.scales.fitted]
        examples = [(e.variables, e.output) for e in (*self.template.examples, *self._held_back)]
        return identify(self.template, self.model, self.labels, told, examples)

    def outcomes(
        self, engine: Engine, cases: Iterable[Case | Failed | None]
    ) -> Generator[Classification | Failed, None, None]:
        """Classify cases together; outcomes come in the order of the cases."""
        for id, answers in self.answers(engine, cases):
            yield (
                Failed(id, answers.error) if isinstance(answers, Failed) else self.classify(answers)
            )

    def classify_one(self, engine: Engine, case: Case) -> Classification:
        """Classify a single case.

        Raises:
            LlmtoolError: the case failed.
        """
        (outcome,) = self.outcomes(engine, [case])
        if isinstance(outcome, Failed):
            raise outcome.error
        return outcome

    def answers(
        self, engine: Engine, cases: Iterable[Case | Failed | None]
    ) -> Generator[tuple[int, list[Timed] | Failed], None, None]:
        """Yield the id of each case and what the model says of it, in the order of the cases.

        A case is asked each question, of each of its parts where it is longer than the context.
        """

        def asked(case: Case) -> list[Case]:
            parts = self._parts(engine, case)
            return [
                msgspec.structs.replace(part, variables={**part.variables, **question})
                for question in self.questions
                for part in parts
            ]

        groups = stream_groups(lambda all_: self.scores(engine, all_), cases, asked)
        for n_scored, group in enumerate(groups, 1):
            if self._on_scored is not None:
                self._on_scored(n_scored)
            yield group

    def scores(
        self, engine: Engine, cases: Iterable[Case | Failed | None], *, fitted: bool = True
    ) -> Generator[Timed | Failed, None, None]:
        """Yield the log-probabilities of each case's labels, in the order of the cases.

        The first call scores the anchors as well, unless they are kept from another run. Without
        `fitted` an earlier fit to labelled texts is left aside.
        """
        anchors = self.scales.needed(fitted=fitted)
        if anchors:
            # Apart from the texts, whose batches then look the same when the anchors are known.
            rows = []
            for answer in stream_scores(engine, anchors):
                if isinstance(answer, Failed):
                    raise answer.error
                rows.append(list(answer.scores.totals))
            self.scales.learn(anchors, rows)
        yield from stream_scores(engine, each_or_failed(self.request, cases))

    def _parts(self, engine: Engine, case: Case) -> list[Case]:
        if self.options.overflow != "chunk":
            return [case]
        question = self.questions[0]

        def prompt(part: Case) -> Prompt:
            asked = msgspec.structs.replace(part, variables={**part.variables, **question})
            return self.request(asked).prompt

        return parts_of(engine, case, self.material, prompt=prompt, answers=self._candidates)

    @property
    def material(self) -> str | None:
        """The input that takes the text."""
        given = {*self.options.variables, *self.questions[0]}
        return self.template.find_material(frozenset(given))

    def request(self, case: Case) -> ScoreRequest:
        """Render the template into a request for the labels' log-probabilities.

        Raises:
            UsageError, InputError, TemplateError: as rendering says.
        """
        from llmtool.prompts.render import render

        values = {**self.options.variables, **case.variables}
        for name, text in (("prompt", case.prompt), ("input", case.input)):
            if text is not None:
                values[name] = text
        if LABELS_INPUT in self.template.inputs and self._descriptions:
            values.setdefault(LABELS_INPUT, self._descriptions)
        rendered = render(self.template, values, model_name=self.model, system=self.options.system)
        return ScoreRequest(
            prompt=rendered.prompt(), candidates=self._candidates, end=self._end, id=case.id
        )

    def _anchor_requests(self) -> list[ScoreRequest]:
        """Return texts whose answer is known on average, question by question."""
        material = self.material
        given = {*self.options.variables, *self.questions[0]}
        needed = {name for name, spec in self.template.inputs.items() if spec.required}
        if self._held_back:
            cases = [Case(variables=example.variables) for example in self._held_back]
        elif material is None or needed - given - {material}:
            return []  # what else is needed differs from text to text
        else:
            cases = [
                Case(variables={material: text, **question})
                for question in self.questions
                for text in calibration.NEUTRAL
            ]
        return [
            self.request(msgspec.structs.replace(case, id=_FIRST_ANCHOR + i))
            for i, case in enumerate(cases)
        ]

    def _key(self, *parts: object) -> str:
        examples = [(e.variables, e.output) for e in self.template.examples]
        given = [self.options.system, self.options.variables, self._descriptions]
        told = [self._candidates, self._end, *given, examples, *parts]
        return identify(self.template, self._model_identity, *told).hex()

    def fit(self, engine: Engine, texts: Sequence[tuple[str, str]]) -> Fit:
        """Fit bias and temperature to pairs of a text and its label, save and use them.

        Raises:
            UsageError: there are too few texts, or a label that is none.
            LlmtoolError: of the first text that fails.
        """
        if len(texts) < MIN_FIT:
            raise UsageError(
                f"too few labelled texts to calibrate: there are {len(texts)} of {MIN_FIT}"
            )
        truth = [self.number_of(label) for _, label in texts]
        missing = sorted(set(range(len(self.labels))) - set(truth))
        if missing:
            raise UsageError(f"no text to calibrate with has the label {self.names[missing[0]]!r}")
        rows = []
        name = self.material or "text"
        cases = [Case(id=i, variables={name: text}) for i, (text, _) in enumerate(texts)]
        for outcome in self.scores(engine, cases, fitted=False):
            if isinstance(outcome, Failed):
                raise outcome.error
            rows.append(outcome.scores.totals)
        return self.scales.fit(rows, truth)

    def number_of(self, label: object) -> int:
        """Return which of the labels a text is.

        Raises:
            UsageError: it is none of them.
        """
        return self.names.index(name_of(label, self.labels))

    def classify(self, answers: Sequence[Timed]) -> Classification:
        """Return the classification that the log-probabilities of a text's parts give.

        Parts count by their tokens.
        """
        scale, raw = self.scales.of(0), self.mean_totals(answers)
        probabilities = self.mean_probabilities(answers)
        best = max(range(len(probabilities)), key=probabilities.__getitem__)
        coverage = min(1.0, math.fsum(map(math.exp, raw)))
        reason = self._doubts.reason(probabilities, coverage)
        label = self.labels[best]
        return Classification(
            text="" if reason else label.name,
            label=None if reason else label.name if label.value is None else label.value,
            score=probabilities[best],
            scores=dict(zip(self.names, probabilities, strict=True)),
            logprobs=dict(zip(self.names, raw, strict=True)),
            bias=dict(zip(self.names, scale.bias, strict=True)),
            coverage=coverage,
            form=self.template.form,
            calibrated=scale.n_texts > 0,
            reason=reason,
            model=self.model,
            usage=total_usage(answers),
            seconds=max(each.seconds for each in answers),
            warnings=said_of_parts(len(answers)),
        )

    def mean_probabilities(self, answers: Sequence[Timed], *, question: int = 0) -> list[float]:
        """Return scores that add up to 1, of the answers to one question; shape (n_labels,).

        The prior is Bayes's: it is added to calibrated scores, and no temperature changes it.
        """
        scale = self.scales.of(question)
        rows = [
            calibration.softmax(calibration.add(scale.apply(each.scores.totals), self._log_prior))
            for each in answers
        ]
        return self._mean(rows, answers)

    def mean_totals(self, answers: Sequence[Timed]) -> list[float]:
        """Return the log-probabilities of a text's parts, which count by their tokens."""
        return self._mean([each.scores.totals for each in answers], answers)

    def _mean(self, rows: Sequence[Sequence[float]], answers: Sequence[Timed]) -> list[float]:
        weights = [each.scores.usage.prompt_tokens for each in answers]
        total = sum(weights)
        return [
            math.fsum(value * weight for value, weight in zip(column, weights, strict=True)) / total
            for column in zip(*rows, strict=True)
        ]


def _described(label: Label) -> str:
    return f"{label.name}: {label.description}" if label.description else label.name


def said_of_parts(n: int) -> tuple[str, ...]:
    if n == 1:
        return ()
    return (f"longer than the context: scored in {n} parts, which count by their length",)
