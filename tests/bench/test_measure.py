"""Benchmark measurements: the requests, and the figures computed from the replies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from llmtool.bench.measure import BenchPlan, Row, measure
from llmtool.engine.scripted import ScriptedEngine
from llmtool.engine.types import Event, Finished, Message, Request, Timings, Usage

SMALL_PLAN = BenchPlan(repetitions=2, n_prompt=20, n_reply=4, depths=(10,), n_parallel=(2,))
SINGLE_PLAN = BenchPlan(repetitions=2, n_template=30, n_prompt=20, depths=(), n_parallel=(1,))


class TimedEngine(ScriptedEngine):
    """Reports 0.01 s per uncached prompt token and 0.1 s per reply token.

    With `late`, the last of several replies takes half as long and starts halfway.
    """

    def __init__(
        self, *, cached_tokens: int = 0, n_ctx: int = 4096, length: int = 1000, late: bool = False
    ) -> None:
        super().__init__("word " * length, n_ctx=n_ctx)
        self.cached_tokens = cached_tokens
        self.late = late
        self.requests: list[Request] = []
        self.closed = False

    def close(self) -> None:
        self.closed = True

    def stream(self, requests: Iterable[Request | None]) -> Iterator[Event]:
        requests = list(requests)
        self.requests += [request for request in requests if request is not None]
        for event in super().stream(requests):
            yield self._time(event) if isinstance(event, Finished) else event

    def _time(self, event: Finished) -> Finished:
        n_prompt, n = event.usage.prompt_tokens, event.usage.completion_tokens
        is_late = self.late and event.id == self.requests[-1].id
        return Finished(
            id=event.id,
            choice=0,
            finish_reason=event.finish_reason,
            usage=Usage(
                prompt_tokens=n_prompt, cached_tokens=self.cached_tokens, completion_tokens=n
            ),
            timings=Timings(
                prefill_seconds=(n_prompt - self.cached_tokens) / 100,
                decode_seconds=(n - 1) / (20 if is_late else 10),
                first_token_at=100 + ((n - 1) / 20 if is_late else 0),
            ),
            seed=0,
        )


def rows_of(engine: TimedEngine, plan: BenchPlan = SMALL_PLAN) -> dict[str, Row]:
    return {row.test: row for row in measure(lambda *_: engine, plan)}


@pytest.mark.parametrize("cached_tokens", [0, 15])
def test_prompt_speed_excludes_cached_tokens(cached_tokens: int) -> None:
    row = rows_of(TimedEngine(cached_tokens=cached_tokens))["pp20"]
    assert row.values == pytest.approx((100, 100))


def test_timed_prompts_differ() -> None:
    engine = TimedEngine()
    rows_of(engine)
    timed = [r.prompt.text for r in engine.requests if r.sampling.max_tokens == 1 and r.prompt.text]
    assert len(timed) == len(set(timed)) == 2
    assert {len(text.split()) for text in timed} == {20}


def test_reply_speed_excludes_the_first_token() -> None:
    engine = TimedEngine()
    row = rows_of(engine)["tg4 @ d10"]
    assert row.values == pytest.approx((10, 10))
    requests = [r for r in engine.requests if len((r.prompt.text or "").split()) == 10]
    assert {r.sampling.max_tokens for r in requests} == {5}


def test_ratio_is_relative_to_a_single_reply() -> None:
    rows = rows_of(TimedEngine())
    assert rows["tg24 x 1"].median == pytest.approx(10, rel=0.01)
    assert rows["tg24 x 1"].ratio == 1
    assert rows["tg24 x 2"].ratio == pytest.approx(2, rel=0.01)


def test_parallel_speed_spans_first_start_to_last_end() -> None:
    # Two replies of 24 tokens after the first; one takes 2.4 s, the other only the second half.
    rows = rows_of(TimedEngine(late=True), BenchPlan(n_parallel=(2,), repetitions=1, depths=()))
    assert rows["tg24 x 2"].median == pytest.approx(20, rel=0.01)


def test_parallel_replies_have_different_prompts() -> None:
    engine = TimedEngine()
    rows_of(engine, BenchPlan(repetitions=1, n_parallel=(32,), depths=()))
    prompts = [r.prompt.text for r in engine.requests if r.sampling.max_tokens == 25]
    assert len(prompts) == 33 and len(set(prompts)) == 32  # one, then 32 in parallel


def test_measurement_longer_than_the_context_is_skipped_with_a_note() -> None:
    notes: list[str] = []
    plan = BenchPlan(repetitions=1, n_prompt=20, depths=(10, 5000), n_parallel=(1,))
    tests = [row.test for row in measure(lambda *_: TimedEngine(), plan, on_note=notes.append)]
    assert "tg64 @ d10" in tests and "tg64 @ d5000" not in tests
    assert len(notes) == 1 and "reply after 5,000 tokens: skipped" in notes[0]


def test_note_reports_replies_that_end_early() -> None:
    notes: list[str] = []
    plan = BenchPlan(repetitions=1, n_prompt=20, depths=(10,), n_parallel=(1,))
    list(measure(lambda *_: TimedEngine(length=40), plan, on_note=notes.append))
    assert notes == ["reply after 10 tokens: 1 of 1 replies ended before 65 tokens"]


def test_engines_are_opened_for_the_needed_replies_and_closed() -> None:
    opened: list[tuple[int, TimedEngine]] = []

    def open_engine(n_parallel: int, cache: Path | None) -> TimedEngine:
        opened.append((n_parallel, TimedEngine()))
        return opened[-1][1]

    list(measure(open_engine, SMALL_PLAN))
    assert [n for n, _ in opened] == [1, 1, 1, 1, 1, 1, 2]
    assert all(engine.closed for _, engine in opened)


def test_first_token_is_measured_without_and_with_prefix_cache() -> None:
    seen: list[tuple[Path, Message]] = []

    class CachingEngine(TimedEngine):
        def __init__(self, cache: Path | None) -> None:
            super().__init__()
            self.cache = cache

        def stream(self, requests: Iterable[Request | None]) -> Iterator[Event]:
            (request,) = requests = list(requests)
            if self.cache is not None and request is not None:
                assert self.cache.is_dir()
                system, user = request.prompt.messages
                assert request.prompt.probe[0] == system and request.prompt.probe[1] != user
                self.cached_tokens = 5 if (self.cache, system) in seen else 0
                seen.append((self.cache, system))
            yield from super().stream(requests)

    rows = {row.test: row for row in measure(lambda _, cache: CachingEngine(cache), SINGLE_PLAN)}
    assert seen[0] == seen[1] != seen[2] == seen[3]
    assert len(seen[0][1].content.split()) == 30
    assert len(rows["first"].values) == len(rows["first cached"].values) == 2
    assert not seen[0][0].exists()


def test_row_for_cached_prefix_is_omitted_without_cache() -> None:
    assert "first" in rows_of(TimedEngine()) and "first cached" not in rows_of(TimedEngine())


def test_given_memory_rows_are_not_measured_again() -> None:
    rows = list(measure(lambda n, cache: TimedEngine(), SINGLE_PLAN))
    assert rows and not any(row.kind == "memory" for row in rows)
