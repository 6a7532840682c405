"""Run the tests of a template on a model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from llmtool.errors import EngineError
from llmtool.evals.answers import Answer, to_answer
from llmtool.evals.judge import judge
from llmtool.evals.plan import EvalPlan, PlannedTest, hash_of
from llmtool.evals.reply_cache import ReplyCache
from llmtool.evals.results import Outcome
from llmtool.tasks.options import GenerateOptions

OnProgress = Callable[[int, int], None]

# Runs cases, and yields the result or error of each in order.
RunCases = Callable[[Sequence[Mapping[str, Any]], GenerateOptions], Iterator[object]]


def run_tests(
    plan: EvalPlan,
    run_cases: RunCases,
    *,
    model_name: str,
    cache: ReplyCache | None = None,
    on_progress: OnProgress | None = None,
) -> Iterator[Outcome]:
    """Yield the outcome of each test as soon as all its replies are available.

    Cases with the same options run as one batch. Equal cases run once, and cached ones not at all.
    `on_progress` receives (completed, total) cases.

    Raises:
        LlmtoolError: the model is unavailable, or the engine failed.

    Example:
        >>> from pathlib import Path
        >>> from llmtool import Toolbox
        >>> from llmtool.evals import make_plan
        >>> _ = Path("rivers.yaml").write_text('''
        ... llmtool: 1
        ... name: rivers
        ... inputs: {country: {type: str}}
        ... prompt: Name a river of {{ country }}.
        ... tests:
        ... - vars: {country: Austria}
        ...   assert: [{type: contains, value: Danube}]
        ... ''')
        >>> box = Toolbox()
        >>> plan = make_plan(box.library, "./rivers.yaml")
        >>> def run_cases(cases, options):
        ...     return box.run_each(plan.template, cases)
        >>> for outcome in run_tests(plan, run_cases, model_name="starter"):
        ...     print(outcome.name, outcome.status)
        Austria passed
    """
    groups: dict[str, list[PlannedTest]] = {}
    for planned in plan.tests:
        groups.setdefault(hash_of(planned.options), []).append(planned)
    total = sum(len(planned.samples) for planned in plan.tests)
    done = 0
    if on_progress is not None:
        on_progress(0, total)
    for tests in groups.values():
        group = _Group(plan, run_cases, tests[0].options, cache, model_name=model_name)
        try:
            group.start(sample.variables for planned in tests for sample in planned.samples)
            for planned in tests:
                answers, n_cached = [], 0
                for sample in planned.samples:
                    answer, is_cached = group.answer(sample.variables)
                    answers.append(answer)
                    n_cached += is_cached
                    done += 1
                    if on_progress is not None:
                        on_progress(done, total)
                yield judge(plan, planned, answers, model=model_name, n_cached=n_cached)
        finally:
            group.close()


class _Group:
    """The cases that run with the same options."""

    def __init__(
        self,
        plan: EvalPlan,
        run_cases: RunCases,
        options: GenerateOptions,
        cache: ReplyCache | None,
        *,
        model_name: str,
    ) -> None:
        self._run_cases = run_cases
        self._options, self._cache = options, cache
        self._template = plan.template.for_model(model_name)
        self._cached = cache.load(self._template, options) if cache else {}
        self._new: dict[str, Answer] = {}
        self._running: Iterator[str] = iter(())
        self._results: Iterator[object] = iter(())

    def start(self, cases: Iterable[Mapping[str, Any]]) -> None:
        """Start the cases that are not cached, if any."""
        by_key = {_key(case): case for case in cases}
        missing = {key: case for key, case in by_key.items() if key not in self._cached}
        self._running = iter(missing)
        if missing:
            options = msgspec.structs.replace(self._options, template=self._template)
            self._results = self._run_cases(list(missing.values()), options)

    def answer(self, variables: Mapping[str, Any]) -> tuple[Answer, bool]:
        """Return the answer to a case, and whether it was cached."""
        key = _key(variables)
        if key in self._cached:
            return self._cached[key], True
        while key not in self._new:
            try:
                result = next(self._results)
            except StopIteration:
                raise EngineError("the engine stopped before all test cases had a reply") from None
            self._new[next(self._running)] = to_answer(result)
        return self._new[key], False

    def close(self) -> None:
        """Stop the running cases, and cache the replies received so far."""
        close = getattr(self._results, "close", None)
        if close is not None:
            close()
        if self._cache is not None:
            self._cache.add(self._template, self._options, self._new)


def _key(variables: Mapping[str, Any]) -> str:
    return hash_of(msgspec.to_builtins(dict(variables)))
