"""Judge the answers of a test."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from llmtool.evals.answers import Answer
from llmtool.evals.dataset import Sample
from llmtool.evals.plan import EvalPlan, PlannedTest, describe
from llmtool.evals.results import FailedAssertion, Failure, Outcome, Status
from llmtool.prompts.assertions import METRICS
from llmtool.prompts.asserts import describe_values, find_failure, find_metric_failure
from llmtool.prompts.schema import Assertion
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
    cases = _Cases(plan, planned, answers)
    failures = list(cases.errors())
    status: Status = "error" if failures else "passed"
    metrics = cases.metrics()
    reasons = []
    if not failures:
        for assertion in planned.test.assertions:
            kind = assertion.type.removeprefix("not-")
            if kind in METRICS and (failure := find_metric_failure(assertion, metrics[kind])):
                reasons.append(failure)
        failures = list(cases.failed_replies())
        if planned.kind == "invariant":
            failures += cases.differences()
    n_failed = len({failure.case for failure in failures})
    if failures:
        count = f"{n_failed} of {len(answers)}: " if len(answers) > 1 else ""
        reasons.append(count + failures[0].reason)
    if reasons and status == "passed":
        status = "failed"
    if reasons and not failures:
        failures = list(cases.wrong_answers())
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


class _Cases:
    """The cases of a test with their answers."""

    def __init__(self, plan: EvalPlan, planned: PlannedTest, answers: Sequence[Answer]) -> None:
        self._planned = planned
        self._labels = plan.template.output.labels
        self._pairs = list(zip(planned.samples, answers, strict=True))

    def errors(self) -> Iterator[Failure]:
        for sample, answer in self._pairs:
            if answer.error is not None:
                yield self._failure(sample, answer, answer.error)

    def failed_replies(self) -> Iterator[Failure]:
        """Yield the replies that are invalid or fail an assertion."""
        assertions = [
            each
            for each in self._planned.test.assertions
            if each.type.removeprefix("not-") not in METRICS
        ]
        if self._planned.kind == "dataset" and not assertions:
            return
        for sample, answer in self._pairs:
            if answer.invalid is not None:
                yield self._failure(sample, answer, answer.invalid)
                continue
            failed = tuple(_failed_assertions(assertions, sample, answer))
            if failed:
                reason = "; ".join(each.reason for each in failed)
                failure = self._failure(sample, answer, reason)
                yield msgspec.structs.replace(failure, assertions=failed)

    def differences(self) -> Iterator[Failure]:
        """Yield the replies of an invariant that differ from the first one."""
        (first_sample, first), *others = self._pairs
        if first.invalid is not None:
            return
        reason = f"differs from the answer to {first_sample.name!r}"
        for sample, answer in others:
            if answer.invalid is None and self._value(answer) != self._value(first):
                yield self._failure(sample, answer, reason, expected=self._excerpt(first))

    def wrong_answers(self) -> Iterator[Failure]:
        for sample, answer in self._pairs:
            if sample.expected is None or self._value(answer) == self._expected(sample):
                continue
            reason = answer.invalid or "does not match the expected answer"
            yield self._failure(sample, answer, reason)

    def metrics(self) -> dict[str, float]:
        """Return the metrics of a dataset, if every row has an expected answer."""
        samples = self._planned.samples
        if self._planned.kind != "dataset" or any(sample.expected is None for sample in samples):
            return {}
        expected = [self._expected(sample) for sample in samples]
        actual = [self._value(answer) for _, answer in self._pairs]
        return {
            "accuracy": accuracy(expected, actual),
            "macro-f1": macro_f1(expected, actual, self._labels),
        }

    def _failure(
        self, sample: Sample, answer: Answer, reason: str, *, expected: str | None = None
    ) -> Failure:
        is_row = self._planned.kind == "dataset"
        return Failure(
            case=f"{sample.name} {describe(sample.variables)}" if is_row else sample.name,
            expected=sample.expected if expected is None else expected,
            text=self._excerpt(answer),
            reason=reason,
        )

    def _expected(self, sample: Sample) -> str:
        expected = sample.expected or ""
        return expected if self._labels else normalized(expected)

    def _value(self, answer: Answer) -> str | None:
        """Return the value to compare, or None for an invalid reply or an error."""
        if answer.error is not None or answer.invalid is not None:
            return None
        return answer.reply.label if self._labels else normalized(answer.reply.text)

    def _excerpt(self, answer: Answer) -> str | None:
        if self._labels or answer.error is not None:
            return answer.reply.label
        return _excerpt(answer.reply.text)


def _failed_assertions(
    assertions: Sequence[Assertion], sample: Sample, answer: Answer
) -> Iterator[FailedAssertion]:
    for each in assertions:
        if reason := find_failure(each, answer.reply, sample.variables):
            expected, actual = describe_values(each, answer.reply, sample.variables)
            yield FailedAssertion(
                type=each.type,
                expected=_excerpt(expected),
                actual=_excerpt(actual),
                reason=reason,
            )


def _excerpt(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 1] + "…"
