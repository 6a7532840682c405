"""Asks a model what the tests of a template need, and yields the outcome of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from llmtool.errors import EngineError
from llmtool.evals.answers import Answer, read_answer
from llmtool.evals.judge import judge
from llmtool.evals.plan import EvalPlan, PlannedTest, hash_of
from llmtool.evals.reply_cache import ReplyCache
from llmtool.evals.results import Outcome
from llmtool.tasks.options import GenerateOptions

OnProgress = Callable[[int, int], None]


# Yields the result of each case, or the error that it has instead, in order.
Ask = Callable[[Sequence[Mapping[str, Any]], GenerateOptions], Iterator[object]]


def run_tests(
    plan: EvalPlan,
    ask: Ask,
    *,
    model_name: str,
    cache: ReplyCache | None = None,
    on_progress: OnProgress | None = None,
) -> Iterator[Outcome]:
    """Yield the outcome of each test of a plan as its last reply comes.

    All cases that are asked with the same options are decoded together, equal ones once; those that
    `cache` has are not asked again. `on_progress` gets the cases that are answered, and all of
    them.

    Raises:
        LlmtoolError: the model cannot be had, or fails as a whole.

    Example:
        >>> plan, ask = make_plan(box.library, "triage"), partial(run_each, box.context)
        ... # doctest: +SKIP
        >>> for outcome in run_tests(plan, ask, model_name="starter"):  # doctest: +SKIP
        ...     print(outcome.name, outcome.status)
        Can't log in since Monday passed
    """
    groups: dict[str, list[PlannedTest]] = {}
    for planned in plan.tests:
        groups.setdefault(hash_of(planned.options), []).append(planned)
    total = sum(len(planned.samples) for planned in plan.tests)
    done = 0
    if on_progress is not None:
        on_progress(0, total)
    for tests in groups.values():
        group = _Group(plan, ask, tests[0].options, cache, model_name=model_name)
        try:
            group.ask(sample.variables for planned in tests for sample in planned.samples)
            for planned in tests:
                answers, n_cached = [], 0
                for sample in planned.samples:
                    answer, was_kept = group.answer(sample.variables)
                    answers.append(answer)
                    n_cached += was_kept
                    done += 1
                    if on_progress is not None:
                        on_progress(done, total)
                yield judge(plan, planned, answers, model=model_name, n_cached=n_cached)
        finally:
            group.close()


class _Group:
    """The cases that are asked with the same options."""

    def __init__(
        self,
        plan: EvalPlan,
        ask: Ask,
        options: GenerateOptions,
        cache: ReplyCache | None,
        *,
        model_name: str,
    ) -> None:
        self._ask = ask
        self._options, self._cache = options, cache
        self._template = plan.template.for_model(model_name)
        self._kept = cache.load(self._template, options) if cache else {}
        self._new: dict[str, Answer] = {}
        self._asked: Iterator[str] = iter(())
        self._results: Iterator[object] = iter(())

    def ask(self, cases: Iterable[Mapping[str, Any]]) -> None:
        """Begin to ask what is not known; nothing at all where all of it is."""
        wanted = {_key(case): case for case in cases}
        missing = {key: case for key, case in wanted.items() if key not in self._kept}
        self._asked = iter(missing)
        if missing:
            options = msgspec.structs.replace(self._options, template=self._template)
            self._results = self._ask(list(missing.values()), options)

    def answer(self, variables: Mapping[str, Any]) -> tuple[Answer, bool]:
        """Return the answer to a case, and whether it was kept from an earlier run."""
        key = _key(variables)
        if key in self._kept:
            return self._kept[key], True
        while key not in self._new:
            try:
                result = next(self._results)
            except StopIteration:
                raise EngineError("the model ended before all tests were answered") from None
            self._new[next(self._asked)] = read_answer(result)
        return self._new[key], False

    def close(self) -> None:
        """Stop what is under way, and keep what has come."""
        close = getattr(self._results, "close", None)
        if close is not None:
            close()
        if self._cache is not None:
            self._cache.add(self._template, self._options, self._new)


def _key(variables: Mapping[str, Any]) -> str:
    return hash_of(msgspec.to_builtins(dict(variables)))
