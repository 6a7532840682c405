"""A template and labels, ready for any number of texts: prompts to scores to classifications."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from llmtool.engine.types import Engine, Failed, ScoreRequest, Scores
from llmtool.errors import EngineError, UsageError
from llmtool.prompts.cases import Example
from llmtool.prompts.output import Output
from llmtool.tasks import calibration
from llmtool.tasks.in_order import InOrder
from llmtool.tasks.labels import Label, candidates
from llmtool.tasks.options import ClassifyOptions
from llmtool.tasks.prepare import Case, each_or_failed, identify
from llmtool.tasks.results import Classification

if TYPE_CHECKING:
    from llmtool.prompts.template import Template

LABELS_INPUT = "labels"  # a template with such an input is told which labels there are
_FIRST_ANCHOR = -1_000_000  # ids of anchors, which no case has


class AnchorScores(Protocol):
    """Keeps the scores of anchors from run to run; a miss costs nothing but time."""

    def load(self, key: str, shape: tuple[int, int]) -> list[list[float]] | None: ...

    def save(self, key: str, rows: Sequence[Sequence[float]]) -> None: ...


class Labelling:
    """All that the texts of one call have in common.

    Args:
        template: already chosen for the model.
        labels: what a text can be.
        anchors: where the scores of anchors are kept; None keeps none.

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
        anchors: AnchorScores | None = None,
        started: float | None = None,
    ) -> None:
        self.labels, self.options, self.model = labels, options, model
        self._names = [label.name for label in labels]
        self._anchors = anchors
        self._started = time.perf_counter() if started is None else started
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
        self._bias: list[float] | None = None

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
        anchors = [] if self._bias is not None else self._anchor_requests()
        key = "" if not anchors else self._anchor_key(anchors)
        kept = self._anchors.load(key, self._shape(anchors)) if anchors and self._anchors else None
        if kept is not None:
            self._bias = self._bias_of(kept)
            anchors = []
        rows: list[list[float]] = []

        def requests() -> Iterator[ScoreRequest | Failed | None]:
            yield from anchors
            yield from each_or_failed(self.request, cases)

        line = InOrder[ScoreRequest, _Answer](requests(), _Answer)
        events = engine.score(line.read())
        with closing(events):  # type: ignore[type-var]
            for event in events:
                if isinstance(event, Failed):
                    line.fail(event)
                else:
                    line.answer(event.id).end(event)
                for done in line.leave():
                    if len(rows) < len(anchors):  # they stand at the head of the line
                        if isinstance(done, Failed):
                            raise done.error
                        rows.append(list(done.scores.totals))
                        if len(rows) == len(anchors):
                            self._bias = self._bias_of(rows)
                            if self._anchors is not None:
                                self._anchors.save(key, rows)
                        continue
                    yield done if isinstance(done, Failed) else self._classify(done)
        if len(line):
            raise EngineError("the model was closed before the texts were classified")

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
            return tuple(e for e in template.examples if e.output in self._names), ()
        material = template.find_material() or "text"
        examples = [_as_example(each, material) for each in given]
        shown: dict[str, Example] = {}
        held_back = []
        for example in examples:
            if example.output not in self._names:
                from llmtool.prompts.nearest import nearest

                hint = nearest(example.output, self._names)
                raise UsageError(
                    f"an example has the label {example.output!r}, which is none{hint}"
                )
            if example.output in shown:
                held_back.append(example)
            else:
                shown[example.output] = example
        ordered = [shown[name] for name in self._names if name in shown]
        return tuple(ordered), tuple(_balanced(held_back, self._names))

    def _anchor_requests(self) -> list[ScoreRequest]:
        if self.options.get("calibrate", "auto") == "none":
            self._bias = [0.0] * len(self.labels)
            return []
        if self._held_back:
            cases = [Case(variables=example.variables) for example in self._held_back]
        else:
            given = frozenset(self.options.get("variables") or ())
            material = self.template.find_material(given)
            others = (
                {name for name, spec in self.template.inputs.items() if spec.required}
                - given
                - {material}
            )
            if material is None or others:  # what else is needed differs from text to text
                self._bias = [0.0] * len(self.labels)
                return []
            cases = [Case(variables={material: text}) for text in calibration.NEUTRAL]
        return [
            self.request(msgspec.structs.replace(case, id=_FIRST_ANCHOR + i))
            for i, case in enumerate(cases)
        ]

    def _bias_of(self, rows: Sequence[Sequence[float]]) -> list[float]:
        if self._held_back:
            return calibration.bias_of_balanced(rows)
        return calibration.bias_of_neutral(rows)

    def _shape(self, anchors: Sequence[ScoreRequest]) -> tuple[int, int]:
        return len(anchors), len(self.labels)

    def _anchor_key(self, anchors: Sequence[ScoreRequest]) -> str:
        prompts = [(a.prompt.text, a.prompt.messages, a.prompt.prefill) for a in anchors]
        return identify(self.template, self.model, self._candidates, self._end, prompts).hex()

    def _read_prior(self, prior: Mapping[str, float] | None) -> list[float]:
        if prior is None:
            return [0.0] * len(self.labels)
        unknown = [name for name in prior if name not in self._names]
        if unknown:
            from llmtool.prompts.nearest import nearest

            raise UsageError(f"prior: {unknown[0]!r} is no label{nearest(unknown[0], self._names)}")
        missing = [name for name in self._names if name not in prior]
        if missing:
            raise UsageError(f"prior: {missing[0]!r} is missing")
        if min(prior.values()) <= 0:
            raise UsageError("prior: every label needs a number above 0")
        total = math.fsum(prior.values())
        return [math.log(prior[name] / total) for name in self._names]

    def _classify(self, answer: _Answer) -> Classification:
        scores = answer.scores
        assert self._bias is not None
        raw = scores.totals
        adjusted = calibration.add(calibration.add(raw, self._bias), self._log_prior)
        probabilities = calibration.softmax(adjusted)
        best = max(range(len(probabilities)), key=probabilities.__getitem__)
        score = probabilities[best]
        sure = score >= self._min_confidence
        label = self.labels[best]
        return Classification(
            text=label.name if sure else "",
            label=(label.name if label.value is None else label.value) if sure else None,
            score=score,
            scores=dict(zip(self._names, probabilities, strict=True)),
            logprobs=dict(zip(self._names, raw, strict=True)),
            bias=dict(zip(self._names, self._bias, strict=True)),
            coverage=min(1.0, math.fsum(map(math.exp, raw))),
            form=self.template.form,
            reason=None if sure else f"the score is below {self._min_confidence:g}",
            model=self.model,
            usage=scores.usage,
            seconds=time.perf_counter() - answer.began,
        )


class _Answer:
    """What has come for one request."""

    def __init__(self, request: ScoreRequest) -> None:
        self.began = time.perf_counter()
        self._scores: Scores | None = None

    def end(self, scores: Scores) -> None:
        self._scores = scores

    @property
    def is_complete(self) -> bool:
        return self._scores is not None

    @property
    def scores(self) -> Scores:
        assert self._scores is not None
        return self._scores


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
