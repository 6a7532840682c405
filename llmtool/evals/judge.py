"""Judge the answers of a test."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from llmtool.evals.answers import Answer
from llmtool.evals.dataset import Sample
from llmtool.evals.plan import EvalPlan, PlannedTest, describe
from llmtool.evals.results import Failure, Outcome, Status
from llmtool.prompts.assertions import METRICS
from llmtool.prompts.asserts import find_failure, find_metric_failure
from llmtool.tasks.classify.metrics import accuracy, macro_f1, normalized

MAX_FAILURES = 20  # reported per test
_MAX_SHOWN = 400  # characters of a reply in a report


def judge(
    plan: EvalPlan,
    planned: PlannedTest,
    answers: Sequence[Answer],
    *,
    model: str,
    n_cached: int = 0,
) -> Outcome:
    """Return the outcome of a test.

    A test passes if every reply meets the assertions, the metrics of the dataset meet theirs, and
    the answers of an invariant are equal. An invalid reply is a failure, or a wrong answer if there
    are only assertions about metrics. If a case has an error instead of a reply, the outcome is an
    error.
    """
    has_labels = plan.template.output.kind == "labels"
    failures = list(_errors(planned, answers))
    status: Status = "error" if failures else "passed"
    metrics = _measure(plan, planned, answers)
    reasons = []
    if not failures:
        for assertion in planned.test.assertions:
            kind = assertion.type.removeprefix("not-")
            if kind in METRICS and (failure := find_metric_failure(assertion, metrics[kind])):
                reasons.append(failure)
        failures = list(_failed_replies(planned, answers, has_labels))
        if planned.kind == "invariant":
            failures += _differences(planned, answers, has_labels)
    n_failed = len({failure.case for failure in failures})
    if failures:
        count = f"{n_failed} of {len(answers)}: " if len(answers) > 1 else ""
        reasons.append(count + failures[0].reason)
    if reasons and status == "passed":
        status = "failed"
    if reasons and not failures:
        failures = list(_wrong_answers(planned, answers, has_labels))
        n_failed = len(failures)
    return Outcome(
        template=plan.template.name,
        model=model,
        id=planned.id,
        name=planned.name,
        kind=planned.kind,
        status=status,
        reason="; ".join(reasons),
        failures=tuple(failures[:MAX_FAILURES]),
        metrics=metrics,
        n=len(answers),
        n_failed=n_failed,
        n_cached=n_cached,
        seconds=max(answer.seconds for answer in answers),
        file=planned.test.file,
        line=planned.test.line,
    )


def _errors(planned: PlannedTest, answers: Sequence[Answer]) -> Iterator[Failure]:
    for sample, answer in zip(planned.samples, answers, strict=True):
        if answer.error is not None:
            case = _case(planned, sample)
            yield Failure(case=case, expected=sample.expected, reason=answer.error)


def _failed_replies(
    planned: PlannedTest, answers: Sequence[Answer], has_labels: bool
) -> Iterator[Failure]:
    """Yield the replies that are invalid or fail an assertion."""
    assertions = [
        each for each in planned.test.assertions if each.type.removeprefix("not-") not in METRICS
    ]
    if planned.kind == "dataset" and not assertions:
        return
    for sample, answer in zip(planned.samples, answers, strict=True):
        reasons = [find_failure(each, answer.reply, sample.variables) for each in assertions]
        if answer.invalid is not None:
            reasons = [answer.invalid]
        if reason := "; ".join(filter(None, reasons)):
            yield Failure(
                case=_case(planned, sample),
                expected=sample.expected,
                got=_excerpt(answer, has_labels),
                reason=reason,
            )


def _differences(
    planned: PlannedTest, answers: Sequence[Answer], has_labels: bool
) -> Iterator[Failure]:
    """Yield the replies of an invariant that differ from the first one."""
    first = answers[0]
    if first.invalid is not None:
        return
    for sample, answer in zip(planned.samples[1:], answers[1:], strict=True):
        if answer.invalid is None and _value(answer, has_labels) != _value(first, has_labels):
            yield Failure(
                case=_case(planned, sample),
                expected=_excerpt(first, has_labels),
                got=_excerpt(answer, has_labels),
                reason=f"differs from the answer to {planned.samples[0].name!r}",
            )


def _wrong_answers(
    planned: PlannedTest, answers: Sequence[Answer], has_labels: bool
) -> Iterator[Failure]:
    for sample, answer in zip(planned.samples, answers, strict=True):
        if sample.expected is None:
            continue
        expected = sample.expected if has_labels else normalized(sample.expected)
        if _value(answer, has_labels) != expected:
            yield Failure(
                case=_case(planned, sample),
                expected=sample.expected,
                got=_excerpt(answer, has_labels),
                reason=answer.invalid or "does not match the expected answer",
            )


def _measure(plan: EvalPlan, planned: PlannedTest, answers: Sequence[Answer]) -> dict[str, float]:
    """Return the metrics of a dataset, if every row has an expected answer."""
    labels = plan.template.output.labels
    expected = [s.expected if labels else normalized(s.expected or "") for s in planned.samples]
    if planned.kind != "dataset" or any(s.expected is None for s in planned.samples):
        return {}
    known = [each for each in expected if each is not None]
    actual = [_value(answer, bool(labels)) for answer in answers]
    return {
        "accuracy": accuracy(known, actual),
        "macro-f1": macro_f1(known, actual, labels),
    }


def _case(planned: PlannedTest, sample: Sample) -> str:
    """Return a short description of a case, with its line in a dataset."""
    if planned.kind != "dataset":
        return sample.name
    return f"{sample.name} {describe(sample.variables)}"


def _value(answer: Answer, has_labels: bool) -> str | None:
    """Return the value to compare, or None for an invalid reply or an error."""
    if answer.error is not None or answer.invalid is not None:
        return None
    return answer.reply.label if has_labels else normalized(answer.reply.text)


def _excerpt(answer: Answer, has_labels: bool) -> str | None:
    if has_labels:
        return answer.reply.label
    text = answer.reply.text
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 1] + "…"
