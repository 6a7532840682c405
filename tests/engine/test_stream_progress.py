"""The counters of a stream, which a status shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from llmtool.engine.llama.context import Context
from llmtool.engine.llama.engine import LocalEngine
from llmtool.engine.llama.model import load_model
from llmtool.engine.types import Finished, Prompt, Request, Sampling, StreamProgress


@pytest.fixture
def engine(tiny_model: Callable[..., Path]) -> Iterator[LocalEngine]:
    engine = LocalEngine(load_model(tiny_model("plain", printable=True)), n_threads=1)
    yield engine
    engine.close()


@pytest.fixture
def seen(engine: LocalEngine, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The tokens of prompts that were computed and left before each decode."""
    counts: list[tuple[int, int]] = []
    decode = Context.decode

    def watch(context: Context) -> None:
        counts.append((engine.progress.n_read, engine.progress.n_unread))
        decode(context)

    monkeypatch.setattr(Context, "decode", watch)
    return counts


LONG = "word " * 400


def run(engine: LocalEngine, *prompts: str, keep: bool = False) -> list[Finished]:
    requests = [
        Request(
            id=i,
            prompt=Prompt(text=text),
            sampling=Sampling(max_tokens=3, temperature=0),
            keep=keep,
        )
        for i, text in enumerate(prompts)
    ]
    return [event for event in engine.stream(requests) if isinstance(event, Finished)]


@pytest.mark.parametrize("keep", [False, True])
def test_tokens_of_a_prompt_are_counted_after_each_batch(
    engine: LocalEngine, seen: list[tuple[int, int]], keep: bool
) -> None:
    (end,) = run(engine, LONG, keep=keep)
    n_prompt = end.usage.prompt_tokens
    assert n_prompt > 1024
    assert seen[:3] == [(0, n_prompt), (512, n_prompt - 512), (1024, n_prompt - 1024)]
    assert seen[-1] == (n_prompt, 0)
    assert engine.progress.read_seconds > 0
    assert engine.progress.finished == {end.usage.completion_tokens: 1}


def test_cached_tokens_are_not_counted(engine: LocalEngine, seen: list[tuple[int, int]]) -> None:
    run(engine, LONG, keep=True)
    seen.clear()
    (end,) = run(engine, LONG + "and more " * 80, keep=True)
    n_new = end.usage.prompt_tokens - end.usage.cached_tokens
    assert end.usage.cached_tokens > 1000
    assert seen[0] == (0, n_new)
    assert engine.progress.n_read == n_new


def test_replies_are_counted(engine: LocalEngine) -> None:
    ends = run(engine, "one", "two", "three")
    progress = engine.progress
    assert progress.n_requests == 3
    assert progress.n_generated == sum(end.usage.completion_tokens for end in ends)
    assert (progress.running, progress.n_unread) == ((), 0)
    assert progress.step_seconds > 0


def test_average_time_of_a_step_starts_again_with_more_replies() -> None:
    progress = StreamProgress(running=((1, 9),) * 4)
    for _ in range(20):
        progress.add_time(1.0, n_read=0)
    progress.running = ((1, 9),) * 32
    progress.add_time(9.0, n_read=512)
    assert (progress.step_seconds, progress.n_parallel, progress.read_seconds) == (1, 4, 8)
    progress.add_time(3.0, n_read=0)
    assert (progress.step_seconds, progress.n_parallel) == (3, 32)
