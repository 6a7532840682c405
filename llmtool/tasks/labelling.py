"""A template and labels, ready for any number of texts: prompts to scores to classifications."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from llmtool.engine.types import Engine, Failed, ScoreRequest, Scores
from llmtool.errors import EngineError, UsageError
from llmtool.prompts.cases import Example
from llmtool.prompts.output import Output
from llmtool.tasks import calibration
from llmtool.tasks.calibration import Fit
from llmtool.tasks.in_order import InOrder
from llmtool.tasks.kept import Kept
from llmtool.tasks.labels import Label, candidates
from llmtool.tasks.options import ClassifyOptions
from llmtool.tasks.prepare import Case, each_or_failed, identify
from llmtool.tasks.results import Classification

if TYPE_CHECKING:
    from llmtool.prompts.template import Template

MIN_FIT = 20  # labelled texts; fewer say less than the anchors do
LABELS_INPUT = "labels"  # a template with such an input is told which labels there are
_FIRST_ANCHOR = -1_000_000  # ids of anchors, which no case has


class Labelling:
    """All that the texts of one call have in common.

    Args:
        template: already chosen for the model.
        labels: what a text can be.
        model: its name; `model_identity` tells its file from others of that name.
        anchors: where the scores of anchors are kept; None keeps none.
        fits: where calibrations on labelled texts are kept; None looks for none.

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
    ) -> None:
        self.labels, self.options, self.model = labels, options, model
        self.names = [label.name for label in labels]
        self._model_identity, self._anchors, self._fits = model_identity, anchors, fits
        form = options.get("form")
        if form is not None:
            if form not in ("chat", "completion"):
                raise UsageError(f"form is {form!r}; it is chat or completion")
            template = msgspec.structs.replace(template, form=form)
        shown, self._held_back = self._split_examples(template, options)
        output = Output(kind="labels", labels={label.name: label.description for label in labels})
        self.template = msgspec.structs.replace(template, examples=shown, output=output)
        after_text = bool(template.prefill) or template.form == "completion"
        self._candidates, self._end = candidates(labels, after_text=after_text)
        if self._end and template.form == "completion":
            # A completion ends its answer with the line.
            self._candidates = tuple(f"{text}\n" for text in self._candidates)
            self._end = False
        self._log_prior = self._read_prior(options.get("prior"))
        self._min_confidence = options.get("min_confidence") or 0.0
        if not 0 <= self._min_confidence <= 1:
            raise UsageError(f"min_confidence is {self._min_confidence}; it is between 0 and 1")
        if options.get("calibrate", "auto") not in ("auto", "none"):
            raise UsageError("calibrate is auto or none")
        self._scale: Fit | None = None

    @property
    def columns(self) -> list[str]:
        """The names of what `Classification.row` holds."""
        return ["label", "score", "scores"]

    def identity(self) -> bytes:
        """Return a hash of all that shapes the results, but for the texts."""
        told = {name: value for name, value in self.options.items() if name != "examples"}
        examples = [(e.variables, e.output) for e in (*self.template.examples, *self._held_back)]
        return identify(self.template, self.model, self.labels, told, examples)

    def outcomes(
        self, engine: Engine, cases: Iterable[Case | Failed | None]
    ) -> Generator[Classification | Failed, None, None]:
        """Classify cases together; outcomes come in the order of the cases."""
        for outcome in self.scores(engine, cases):
            yield outcome if isinstance(outcome, Failed) else self.classify(outcome)

    def scores(
        self, engine: Engine, cases: Iterable[Case | Failed | None]
    ) -> Generator[Timed | Failed, None, None]:
        """Yield the log-probabilities of each case's labels, in the order of the cases.

        The first call scores the anchors as well, unless they are kept from another run.
        """
        anchors = self._needed_anchors()
        rows: list[list[float]] = []

        def requests() -> Iterator[ScoreRequest | Failed | None]:
            yield from anchors
            yield from each_or_failed(self.request, cases)

        line = InOrder[ScoreRequest, _Answer](requests(), _Answer)
        events = engine.score(line.read())
        try:
            for event in events:
                if isinstance(event, Failed):
                    line.fail(event)
                else:
                    line.answer(event.id).end(event)
                for done in line.leave():
                    if len(rows) == len(anchors):
                        yield done if isinstance(done, Failed) else done.timed()
                        continue
                    if isinstance(done, Failed):  # anchors stand at the head of the line
                        raise done.error
                    rows.append(list(done.timed().scores.totals))
                    if len(rows) == len(anchors):
                        self._learn(anchors, rows)
            if len(line):
                raise EngineError("the model was closed before the texts were classified")
        finally:
            close = getattr(events, "close", None)
            if close is not None:
                close()

    def request(self, case: Case) -> ScoreRequest:
        """Render the template into a request for the labels' log-probabilities.

        Raises:
            UsageError, InputError, TemplateError: as rendering says.
        """
        from llmtool.prompts.render import render

        values = {**(self.options.get("variables") or {}), **case.variables}
        for name, text in (("prompt", case.prompt), ("input", case.input)):
            if text is not None:
                values[name] = text
        if LABELS_INPUT in self.template.inputs:
            values.setdefault(LABELS_INPUT, [_described(label) for label in self.labels])
        rendered = render(
            self.template, values, model_name=self.model, system=self.options.get("system")
        )
        return ScoreRequest(
            prompt=rendered.prompt(), candidates=self._candidates, end=self._end, id=case.id
        )

    def _split_examples(
        self, template: Template, options: ClassifyOptions
    ) -> tuple[tuple[Example, ...], tuple[Example, ...]]:
        """Return the examples that are shown, one of each label in turn, and those held back."""
        given = options.get("examples")
        if given is None:
            return tuple(e for e in template.examples if e.output in self.names), ()
        material = template.find_material() or "text"
        examples = [_as_example(each, material) for each in given]
        shown: dict[str, Example] = {}
        held_back = []
        for example in examples:
            if example.output not in self.names:
                from llmtool.prompts.nearest import nearest

                hint = nearest(example.output, self.names)
                raise UsageError(
                    f"an example has the label {example.output!r}, which is none{hint}"
                )
            if example.output in shown:
                held_back.append(example)
            else:
                shown[example.output] = example
        ordered = [shown[name] for name in self.names if name in shown]
        return tuple(ordered), tuple(_balanced(held_back, self.names))

    def _needed_anchors(self) -> list[ScoreRequest]:
        """Return what has to be scored before the first text; nothing where the scale is known."""
        if self._scale is not None:
            return []
        if self.options.get("calibrate", "auto") == "none":
            self._scale = _unscaled([0.0] * len(self.labels))
            return []
        if self._fits is not None:
            self._scale = self._fits.load(self.fit_key(), Fit)
            if self._scale is not None:
                return []
        anchors = self._anchors_of(self._held_back)
        kept = self._anchors and self._anchors.load(self._anchor_key(anchors), list[list[float]])
        if not anchors or (
            kept and [len(row) for row in kept] == [len(self.labels)] * len(anchors)
        ):
            self._scale = _unscaled(self._bias_of(kept or []))
            return []
        return anchors

    def _learn(self, anchors: Sequence[ScoreRequest], rows: list[list[float]]) -> None:
        self._scale = _unscaled(self._bias_of(rows))
        if self._anchors is not None:
            self._anchors.try_to_save(self._anchor_key(anchors), rows)

    def _anchors_of(self, held_back: Sequence[Example]) -> list[ScoreRequest]:
        if held_back:
            cases = [Case(variables=example.variables) for example in held_back]
        else:
            given = frozenset(self.options.get("variables") or ())
            material = self.template.find_material(given)
            needed = {name for name, spec in self.template.inputs.items() if spec.required}
            if material is None or needed - given - {material}:
                return []  # what else is needed differs from text to text
            cases = [Case(variables={material: text}) for text in calibration.NEUTRAL]
        return [
            self.request(msgspec.structs.replace(case, id=_FIRST_ANCHOR + i))
            for i, case in enumerate(cases)
        ]

    def _bias_of(self, rows: Sequence[Sequence[float]]) -> list[float]:
        if not rows:
            return [0.0] * len(self.labels)
        if self._held_back:
            return calibration.bias_of_balanced(rows)
        return calibration.bias_of_neutral(rows)

    def _anchor_key(self, anchors: Sequence[ScoreRequest]) -> str:
        prompts = [(a.prompt.text, a.prompt.messages, a.prompt.prefill) for a in anchors]
        return self._key("anchors", prompts)

    def fit_key(self) -> str:
        """Return the name under which a calibration for this model, template and labels is kept."""
        examples = [(e.variables, e.output) for e in self.template.examples]
        return self._key("fit", [self.options.get("system"), examples])

    def _key(self, *parts: object) -> str:
        return identify(
            self.template, self._model_identity, self._candidates, self._end, *parts
        ).hex()

    def fit(self, engine: Engine, texts: Sequence[tuple[Case, str]]) -> Fit:
        """Fit bias and temperature to labelled texts, keep and use them.

        Raises:
            UsageError: there are too few texts, or a label that is none.
            LlmtoolError: of the first text that fails.
        """
        if len(texts) < MIN_FIT:
            raise UsageError(
                f"{len(texts)} labelled texts are too few to calibrate; {MIN_FIT} are needed"
            )
        truth = [self.number_of(label) for _, label in texts]
        if self._scale is None and self._fits is not None:
            self._fits, fits = None, self._fits  # not on top of an earlier fit
        else:
            fits = self._fits
        rows = []
        for outcome in self.scores(engine, [case for case, _ in texts]):
            if isinstance(outcome, Failed):
                raise outcome.error
            rows.append(outcome.scores.totals)
        self._fits = fits
        assert self._scale is not None
        self._scale = calibration.fit(rows, truth, start=self._scale.bias)
        if fits is not None:
            fits.save(self.fit_key(), self._scale)
        return self._scale

    def number_of(self, label: str) -> int:
        """Return which of the labels a text is.

        Raises:
            UsageError: it is none of them.
        """
        wanted = label.strip().casefold()
        for number, name in enumerate(self.names):
            if name.strip().casefold() == wanted:
                return number
        from llmtool.prompts.nearest import nearest

        known = nearest(label, self.names) or f" (there are: {', '.join(self.names)})"
        raise UsageError(f"{label!r} is none of the labels{known}")

    def _read_prior(self, prior: Mapping[str, float] | None) -> list[float]:
        if prior is None:
            return [0.0] * len(self.labels)
        unknown = [name for name in prior if name not in self.names]
        if unknown:
            from llmtool.prompts.nearest import nearest

            raise UsageError(f"prior: {unknown[0]!r} is no label{nearest(unknown[0], self.names)}")
        missing = [name for name in self.names if name not in prior]
        if missing:
            raise UsageError(f"prior: {missing[0]!r} is missing")
        if min(prior.values()) <= 0:
            raise UsageError("prior: every label needs a number above 0")
        total = math.fsum(prior.values())
        return [math.log(prior[name] / total) for name in self.names]

    def classify(self, timed: Timed) -> Classification:
        """Return the classification that log-probabilities give."""
        scores, scale = timed.scores, self._scale
        assert scale is not None
        raw = scores.totals
        probabilities = self.probabilities(raw)
        best = max(range(len(probabilities)), key=probabilities.__getitem__)
        score = probabilities[best]
        sure = score >= self._min_confidence
        label = self.labels[best]
        return Classification(
            text=label.name if sure else "",
            label=(label.name if label.value is None else label.value) if sure else None,
            score=score,
            scores=dict(zip(self.names, probabilities, strict=True)),
            logprobs=dict(zip(self.names, raw, strict=True)),
            bias=dict(zip(self.names, scale.bias, strict=True)),
            coverage=min(1.0, math.fsum(map(math.exp, raw))),
            form=self.template.form,
            calibrated=scale.n_texts > 0,
            reason=None if sure else f"the score is below {self._min_confidence:g}",
            model=self.model,
            usage=scores.usage,
            seconds=timed.seconds,
        )

    def probabilities(self, raw: Sequence[float]) -> list[float]:
        """Return scores that add up to 1 of log-probabilities; shapes (n_labels,)."""
        assert self._scale is not None
        return calibration.softmax(calibration.add(self._scale.apply(raw), self._log_prior))


class Timed(msgspec.Struct, frozen=True):
    """Log-probabilities and the seconds from their request on."""

    scores: Scores
    seconds: float


class _Answer:
    """What has come for one request."""

    def __init__(self, request: ScoreRequest) -> None:
        self._began = time.perf_counter()
        self._timed: Timed | None = None

    def end(self, scores: Scores) -> None:
        self._timed = Timed(scores, time.perf_counter() - self._began)

    @property
    def is_complete(self) -> bool:
        return self._timed is not None

    def timed(self) -> Timed:
        assert self._timed is not None
        return self._timed


def _unscaled(bias: list[float]) -> Fit:
    return Fit(bias=bias, temperature=1.0, n_texts=0, accuracy=(0, 0), ece=(0, 0))


def _described(label: Label) -> str:
    return f"{label.name}: {label.description}" if label.description else label.name


def _balanced(examples: Sequence[Example], names: Sequence[str]) -> list[Example]:
    """Return as many examples of each label, in turn; none where a label has none."""
    by_label = {name: [e for e in examples if e.output == name] for name in names}
    n = min(map(len, by_label.values()))
    return [by_label[name][i] for i in range(n) for name in names]


def _as_example(example: Any, material: str) -> Example:
    """Return an example that is a pair of a text and its label, or a mapping with both.

    Raises:
        UsageError: it is neither.
    """
    if isinstance(example, Mapping) and "label" in example:
        variables = {str(name): value for name, value in example.items() if name != "label"}
        if "text" in variables:
            variables = {material: variables["text"]}
        return Example(variables, str(example["label"]))
    if isinstance(example, (tuple, list)) and len(example) == 2:
        return Example({material: str(example[0])}, str(example[1]))
    raise UsageError('an example is a pair of a text and its label, or has "text" and "label"')
