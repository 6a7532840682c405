"""From the answers of a test to its outcome."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from llmtool.evals.answers import Answer
from llmtool.evals.dataset import Sample
from llmtool.evals.plan import EvalPlan, PlannedTest, describe
from llmtool.evals.results import Failure, Outcome, Status
from llmtool.prompts.assertions import METRICS
from llmtool.prompts.asserts import find_failure, find_metric_failure
from llmtool.tasks.classify.metrics import accuracy, macro_f1, normalized

MAX_FAILURES = 20  # of one test that are told
_LENGTH = 400  # characters of a reply that are told


def judge(
    plan: EvalPlan,
    planned: PlannedTest,
    answers: Sequence[Answer],
    *,
    model: str,
    n_cached: int = 0,
) -> Outcome:
    """Return what a test came to.

    It passes when every assertion holds for every reply, those about metrics hold for the whole
    dataset, and the answers of an invariant are alike. An invalid reply
    fails, unless metrics alone are asked for: there it is a wrong answer. A case that has an error
    instead of a reply makes an error of the test.
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
        failures = list(_broken(planned, answers, has_labels))
        if planned.kind == "invariant":
            failures += _unlike(planned, answers, has_labels)
    n_failed = len({failure.case for failure in failures})
    if failures:
        several = f"{n_failed} of {len(answers)}: " if len(answers) > 1 else ""
        reasons.append(several + failures[0].reason)
    if reasons and status == "passed":
        status = "failed"
    if reasons and not failures:
        failures = list(_wrong(planned, answers, has_labels))
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


def _broken(planned: PlannedTest, answers: Sequence[Answer], has_labels: bool) -> Iterator[Failure]:
    """Yield the replies that are invalid, or for which an assertion does not hold."""
    assertions = [
        each for each in planned.test.assertions if each.type.removeprefix("not-") not in METRICS
    ]
    if planned.kind == "dataset" and not assertions:
        return
    for sample, answer in zip(planned.samples, answers, strict=True):
        reasons = [find_failure(each, answer.reply, sample.variables) for each in assertions]
        if answer.broken is not None:
            reasons = [answer.broken]
        if told := "; ".join(reason for reason in reasons if reason):
            yield Failure(
                case=_case(planned, sample),
                expected=sample.expected,
                got=_shown(answer, has_labels),
                reason=told,
            )


def _unlike(planned: PlannedTest, answers: Sequence[Answer], has_labels: bool) -> Iterator[Failure]:
    """Yield the replies that differ from the first of their group."""
    first = answers[0]
    if first.broken is not None:
        return
    for sample, answer in zip(planned.samples[1:], answers[1:], strict=True):
        if answer.broken is None and _value(answer, has_labels) != _value(first, has_labels):
            yield Failure(
                case=_case(planned, sample),
                expected=_shown(first, has_labels),
                got=_shown(answer, has_labels),
                reason=f"differs from the answer to {planned.samples[0].name!r}",
            )


def _wrong(planned: PlannedTest, answers: Sequence[Answer], has_labels: bool) -> Iterator[Failure]:
    for sample, answer in zip(planned.samples, answers, strict=True):
        if sample.expected is None:
            continue
        wanted = sample.expected if has_labels else normalized(sample.expected)
        if _value(answer, has_labels) != wanted:
            yield Failure(
                case=_case(planned, sample),
                expected=sample.expected,
                got=_shown(answer, has_labels),
                reason=answer.broken or "is not what was expected",
            )


def _measure(plan: EvalPlan, planned: PlannedTest, answers: Sequence[Answer]) -> dict[str, float]:
    """Return the metrics of a dataset in which every row has its answer."""
    labels = plan.template.output.labels
    expected = [s.expected if labels else normalized(s.expected or "") for s in planned.samples]
    if planned.kind != "dataset" or any(s.expected is None for s in planned.samples):
        return {}
    wanted = [each for each in expected if each is not None]
    found = [_value(answer, bool(labels)) for answer in answers]
    return {
        "accuracy": accuracy(wanted, found),
        "macro-f1": macro_f1(wanted, found, labels),
    }


def _case(planned: PlannedTest, sample: Sample) -> str:
    """Return a case in a few words; a row's place comes before its own."""
    if planned.kind != "dataset":
        return sample.name
    return f"{sample.name} {describe(sample.variables)}"


def _value(answer: Answer, has_labels: bool) -> str | None:
    """Return what counts of an answer; None where it is none."""
    if answer.error is not None or answer.broken is not None:
        return None
    return answer.reply.label if has_labels else normalized(answer.reply.text)


def _shown(answer: Answer, has_labels: bool) -> str | None:
    if has_labels:
        return answer.reply.label
    text = answer.reply.text
    return text if len(text) <= _LENGTH else text[: _LENGTH - 1] + "…"
