"""Measuring: what is asked of the engine, and what is made of its answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from llmtool.bench.measure import BenchPlan, Row, measure
from llmtool.engine.scripted import ScriptedEngine
from llmtool.engine.types import Event, Finished, Message, Request, Timings, Usage

SMALL = BenchPlan(repetitions=2, n_prompt=20, n_reply=4, depths=(10,), n_parallel=(2,))
ALONE = BenchPlan(repetitions=2, n_template=30, n_prompt=20, depths=(), n_parallel=(1,))


class Timed(ScriptedEngine):
    """Takes 0.01 s per prompt token that is not cached, and 0.1 s per token of a reply.

    `late` lets the last of several replies begin when half of the time is over.
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


def rows_of(engine: Timed, plan: BenchPlan = SMALL) -> dict[str, Row]:
    return {row.test: row for row in measure(lambda *_: engine, plan)}


@pytest.mark.parametrize("cached_tokens", [0, 15])
def test_the_speed_of_a_prompt_counts_computed_tokens(cached_tokens: int) -> None:
    row = rows_of(Timed(cached_tokens=cached_tokens))["pp20"]
    assert row.values == pytest.approx((100, 100))


def test_no_two_prompts_that_are_timed_are_the_same() -> None:
    engine = Timed()
    rows_of(engine)
    timed = [r.prompt.text for r in engine.requests if r.sampling.max_tokens == 1 and r.prompt.text]
    assert len(timed) == len(set(timed)) == 2
    assert {len(text.split()) for text in timed} == {20}


def test_the_speed_of_a_reply_counts_the_tokens_after_the_first() -> None:
    engine = Timed()
    row = rows_of(engine)["tg4 @ d10"]
    assert row.values == pytest.approx((10, 10))
    asked = [r for r in engine.requests if len((r.prompt.text or "").split()) == 10]
    assert {r.sampling.max_tokens for r in asked} == {5}


def test_the_ratio_is_to_one_alone() -> None:
    rows = rows_of(Timed())
    assert rows["tg24 x 1"].median == pytest.approx(10, rel=0.01)
    assert rows["tg24 x 1"].ratio == 1
    assert rows["tg24 x 2"].ratio == pytest.approx(2, rel=0.01)


def test_together_is_measured_from_the_first_start_to_the_last_end() -> None:
    # Two replies of 24 tokens after the first: one takes all of 2.4 s, one the second half of it.
    rows = rows_of(Timed(late=True), BenchPlan(n_parallel=(2,), repetitions=1, depths=()))
    assert rows["tg24 x 2"].median == pytest.approx(20, rel=0.01)


def test_replies_made_together_have_prompts_of_their_own() -> None:
    engine = Timed()
    rows_of(engine, BenchPlan(repetitions=1, n_parallel=(32,), depths=()))
    prompts = [r.prompt.text for r in engine.requests if r.sampling.max_tokens == 25]
    assert len(prompts) == 33 and len(set(prompts)) == 32  # one alone, then all


def test_what_does_not_fit_into_the_context_is_left_out_and_told() -> None:
    notes: list[str] = []
    plan = BenchPlan(repetitions=1, n_prompt=20, depths=(10, 5000), n_parallel=(1,))
    tests = [row.test for row in measure(lambda *_: Timed(), plan, on_note=notes.append)]
    assert "tg64 @ d10" in tests and "tg64 @ d5000" not in tests
    assert len(notes) == 1 and "reply after 5,000 tokens: left out" in notes[0]


def test_replies_that_end_early_are_told() -> None:
    notes: list[str] = []
    plan = BenchPlan(repetitions=1, n_prompt=20, depths=(10,), n_parallel=(1,))
    list(measure(lambda *_: Timed(length=40), plan, on_note=notes.append))
    assert notes == ["reply after 10 tokens: 1 of 1 replies ended before 65 tokens"]


def test_the_engine_is_opened_for_as_many_as_come_and_closed() -> None:
    opened: list[tuple[int, Timed]] = []

    def open_engine(n_parallel: int, cache: Path | None) -> Timed:
        opened.append((n_parallel, Timed()))
        return opened[-1][1]

    list(measure(open_engine, SMALL))
    assert [n for n, _ in opened] == [1, 1, 1, 1, 1, 1, 2]
    assert all(engine.closed for _, engine in opened)


def test_each_template_is_met_unknown_and_then_known() -> None:
    met: list[tuple[Path, Message]] = []

    class Caching(Timed):
        def __init__(self, cache: Path | None) -> None:
            super().__init__()
            self.cache = cache

        def stream(self, requests: Iterable[Request | None]) -> Iterator[Event]:
            (request,) = requests = list(requests)
            if self.cache is not None and request is not None:
                assert self.cache.is_dir()
                system, user = request.prompt.messages
                assert request.prompt.probe[0] == system and request.prompt.probe[1] != user
                self.cached_tokens = 5 if (self.cache, system) in met else 0
                met.append((self.cache, system))
            yield from super().stream(requests)

    rows = {row.test: row for row in measure(lambda _, cache: Caching(cache), ALONE)}
    assert met[0] == met[1] != met[2] == met[3]
    assert len(met[0][1].content.split()) == 30
    assert len(rows["first"].values) == len(rows["first cached"].values) == 2
    assert not met[0][0].exists()


def test_without_a_prefix_cache_there_is_no_figure_for_it() -> None:
    assert "first" in rows_of(Timed()) and "first cached" not in rows_of(Timed())


def test_memory_that_was_weighed_before_is_told_and_not_weighed_again() -> None:
    row = Row(kind="memory", test="mem peak", what="peak", unit="bytes", values=(5.0,))
    rows = list(measure(lambda n, cache: Timed(), ALONE, memory=[row]))
    assert [each for each in rows if each.kind == "memory"] == [row]
