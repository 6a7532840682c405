"""Measure the speed and memory of a model, through the engine that all tasks use."""

from __future__ import annotations

import contextlib
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec

from llmtool.engine.llama.memory_usage import Buffers
from llmtool.engine.types import Engine, Failed, Finished, Message, Prompt, Request, Sampling
from llmtool.errors import ContextOverflow, EngineError
from llmtool.machine import peak_bytes, resident_bytes

Kind = Literal["load", "first", "prefill", "decode", "parallel", "memory"]
Unit = Literal["s", "tok/s", "bytes"]
OpenEngine = Callable[[int, Path | None], Engine]
OnText = Callable[[str], None]

# One token each in most vocabularies. A model continues a short cycle of them, so that replies
# reach their full length.
_WORDS = (
    "river road house tree light water stone field bird rain city door hand fire snow wind ship "
    "book king moon star song wall gold horse bread glass train bridge garden"
).split()
_CYCLE = 5  # words
_SHORT_PROMPT = 16  # tokens, where the length of the prompt does not matter


class BenchPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The measurements of a benchmark; lengths are in tokens, and replies are greedy.

    `repetitions` is the number of runs of each measurement. `n_template` is the length of the
    prefix that the prefix cache stores, `n_prompt` that of a long prompt. Single replies of
    `n_reply` tokens follow prompts of each length in `depths`. Each value of `n_parallel` is a
    number of replies of `n_parallel_reply` tokens decoded in parallel.
    """

    repetitions: int = 3
    n_template: int = 200
    n_prompt: int = 512
    n_reply: int = 64
    depths: tuple[int, ...] = (100, 1000)
    n_parallel: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    n_parallel_reply: int = 24


QUICK = BenchPlan(repetitions=1, n_prompt=256, n_reply=32, depths=(100,), n_parallel=(1, 4, 16))


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A measurement and the value of each repetition.

    `test` is its name, that of llama-bench if it has one. `ratio` is the speed relative to a
    single sequence.
    """

    kind: Kind
    test: str
    description: str
    unit: Unit
    values: tuple[float, ...]
    n_parallel: int = 1
    ratio: float | None = None

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def to_dict(self) -> dict[str, Any]:
        spread = {"median": self.median, "min": min(self.values), "max": max(self.values)}
        return {**msgspec.structs.asdict(self), **spread}


def _ignore(_text: str) -> None:
    return None


def measure(
    open_engine: OpenEngine,
    plan: BenchPlan,
    *,
    on_step: OnText = _ignore,
    on_note: OnText = _ignore,
) -> Iterator[Row]:
    """Measure an engine and yield each row once it is complete.

    Args:
        open_engine: `open_engine(n_parallel, cache_folder)` loads the model, with a prefix cache
            unless the folder is None. The file should be in the page cache, since loading is
            measured from there.
        on_step: called with a description of each measurement before it starts.
        on_note: called with each skipped measurement and the reason.

    Raises:
        Cancelled: the engine's cancellation was set.

    Example:
        >>> from llmtool.engine.scripted import ScriptedEngine
        >>> plan = BenchPlan(repetitions=1, n_prompt=20, depths=(10,), n_parallel=(1,))
        >>> rows = measure(lambda n, cache: ScriptedEngine("word " * 100), plan)
        >>> [row.test for row in rows]
        ['load', 'first', 'pp20', 'tg64 @ d10', 'tg24 x 1']
    """
    benchmark = _Benchmark(plan, on_step, on_note)
    on_step("loading")
    engine = open_engine(1, None)
    loads = [engine.info.load_seconds]
    for _ in range(plan.repetitions - 1):
        engine.close()
        engine = open_engine(1, None)
        loads.append(engine.info.load_seconds)
    description = "load, file in the page cache"
    yield Row(kind="load", test="load", description=description, unit="s", values=tuple(loads))
    yield from benchmark.first_token(open_engine)
    with contextlib.closing(engine):
        yield from benchmark.prompt(engine)
        for depth in plan.depths:
            yield from benchmark.reply(engine, depth)
    with contextlib.closing(open_engine(max(plan.n_parallel), None)) as engine:
        yield from benchmark.parallel(engine)


def measure_memory(open_first: Callable[[], Engine]) -> tuple[Engine, list[Row]]:
    """Open the first engine of this process; return it with the memory that one reply needs.

    Only the first engine is measured correctly, since a later one reuses memory freed by the first.
    llama.cpp reserves larger compute buffers than a reply touches. The growth of resident memory
    between loading and the end of the reply is attributed to them, up to their reported size.
    Loading does not use them, but its peak is higher than the memory that it retains.
    """
    with Buffers() as buffers:
        engine = open_first()
        prompts = [_request(engine, _SHORT_PROMPT, seed=seed, max_tokens=8) for seed in (0, 1)]
        loaded, loading = resident_bytes(), peak_bytes()
        _run(engine, prompts[:1])
        used, peak = resident_bytes(), peak_bytes()
    reserved = buffers.kv_bytes + buffers.compute_bytes
    other = other_while_loading = None
    if loaded is not None and loading is not None and used is not None:
        if reserved and buffers.on_host:
            other = used - min(reserved, max(0, used - loaded)) - buffers.weights_bytes
            other_while_loading = max(loading - buffers.weights_bytes, other)
    sizes = {
        "peak during a short reply": peak,
        "weights, repacked ones included": buffers.weights_bytes or None,
        f"KV cache of {engine.info.n_cells} tokens": buffers.kv_bytes or None,
        "compute buffers, as reserved": buffers.compute_bytes or None,
        "other memory, after loading": other,
        "other memory, while loading": other_while_loading,
    }
    names = ("peak", "weights", "kv", "compute", "other", "loading")
    return engine, [
        Row(kind="memory", test=f"mem {name}", description=text, unit="bytes", values=(size,))
        for name, (text, size) in zip(names, sizes.items(), strict=True)
        if size is not None
    ]


class _Benchmark:
    """The measurements of a plan."""

    def __init__(self, plan: BenchPlan, on_step: OnText, on_note: OnText) -> None:
        self._plan, self._on_step, self._on_note = plan, on_step, on_note

    @contextlib.contextmanager
    def _step(self, description: str) -> Iterator[None]:
        """Announce a measurement, and skip it with a note if it needs a longer context."""
        self._on_step(description)
        try:
            yield
        except ContextOverflow as exc:
            self._on_note(f"{description}: skipped, {exc}")

    def first_token(self, open_engine: OpenEngine) -> Iterator[Row]:
        """Measure the time to the first token of a new engine: load, context and prompt.

        Each template is used twice: new, then from the prefix cache that the first use has written.
        """
        n = self._plan.n_template
        descriptions = {
            "first": f"load to first token, template of {n} tokens",
            "first cached": "the same, template in the prefix cache",
        }
        seconds: dict[str, list[float]] = {test: [] for test in descriptions}
        with (
            self._step(descriptions["first"]),
            tempfile.TemporaryDirectory(prefix="llmtool-bench-") as folder,
        ):
            for repetition in range(self._plan.repetitions):
                for test, values in seconds.items():
                    with contextlib.closing(open_engine(1, Path(folder))) as engine:
                        request = _templated(engine, n, seed=3000 + repetition)
                        started = time.perf_counter()
                        [(done, end)] = _run(engine, [request])
                        if test == "first" or done.usage.cached_tokens:
                            values.append(engine.info.load_seconds + end - started)
        for test, values in seconds.items():
            if values:
                what = descriptions[test]
                yield Row(kind="first", test=test, description=what, unit="s", values=tuple(values))

    def prompt(self, engine: Engine) -> Iterator[Row]:
        n = self._plan.n_prompt
        what = f"prompt of {n:,} tokens"
        speeds = []
        with self._step(what):
            for repetition in range(self._plan.repetitions):  # a new text each time: none is cached
                request = _request(engine, n, seed=1000 + repetition, max_tokens=1)
                [(done, _)] = _run(engine, [request])
                computed = done.usage.prompt_tokens - done.usage.cached_tokens
                speeds.append(_rate(computed, done.timings.prefill_seconds))
            yield _speed("prefill", f"pp{n}", what, speeds)

    def reply(self, engine: Engine, depth: int) -> Iterator[Row]:
        n = self._plan.n_reply
        what = f"reply after {depth:,} tokens"
        speeds = []
        with self._step(what):
            request = _request(engine, depth, seed=2000, max_tokens=n + 1)
            for _ in range(self._plan.repetitions):
                [(done, _)] = _run(engine, [request])
                self._note_short_replies([done], n + 1, what)
                speeds.append(_rate(_steps(done), done.timings.decode_seconds))
            yield _speed("decode", f"tg{n} @ d{depth}", what, speeds)

    def parallel(self, engine: Engine) -> Iterator[Row]:
        """Measure parallel replies; each round covers all sizes, so drift affects them equally."""
        plan = self._plan
        sizes = sorted({1, *plan.n_parallel})
        speeds: dict[int, list[float]] = {n: [] for n in sizes}
        limit = plan.n_parallel_reply + 1
        for round_number in range(plan.repetitions):
            for n in list(sizes):
                self._on_step(f"{n} in parallel, {round_number + 1} of {plan.repetitions}")
                seeds = range(100 * round_number, 100 * round_number + n)
                requests = [
                    _request(engine, _SHORT_PROMPT, seed=seed, max_tokens=limit) for seed in seeds
                ]
                try:
                    done = [finished for finished, _ in _run(engine, requests)]
                except (EngineError, ContextOverflow) as exc:
                    sizes = [size for size in sizes if size < n]
                    self._on_note(f"{n} or more in parallel: skipped, {exc}")
                    break
                self._note_short_replies(done, limit, f"{n} in parallel")
                clocks = [finished.timings for finished in done]
                begin = min(clock.first_token_at for clock in clocks)
                end = max(clock.first_token_at + clock.decode_seconds for clock in clocks)
                speeds[n].append(_rate(sum(map(_steps, done)), end - begin))
        for n in sizes:
            ratios = [many / one for many, one in zip(speeds[n], speeds[1], strict=True)]
            what = "1 reply" if n == 1 else f"{n} replies in parallel"
            row = _speed("parallel", f"tg{plan.n_parallel_reply} x {n}", what, speeds[n])
            yield msgspec.structs.replace(row, n_parallel=n, ratio=statistics.median(ratios))

    def _note_short_replies(self, done: list[Finished], limit: int, what: str) -> None:
        n_short = sum(finished.usage.completion_tokens < limit for finished in done)
        if n_short:
            self._on_note(f"{what}: {n_short} of {len(done)} replies ended before {limit} tokens")


def _speed(kind: Kind, test: str, description: str, speeds: list[float]) -> Row:
    return Row(kind=kind, test=test, description=description, unit="tok/s", values=tuple(speeds))


def _run(engine: Engine, requests: Iterable[Request]) -> list[tuple[Finished, float]]:
    """Run the requests; return each `Finished` event with its `time.perf_counter` time."""
    finished = []
    for event in engine.stream(requests):
        if isinstance(event, Finished):
            finished.append((event, time.perf_counter()))
        elif isinstance(event, Failed):
            raise event.error
    return finished


def _request(engine: Engine, n_tokens: int, *, seed: int, max_tokens: int) -> Request:
    """Return a greedy request whose prompt has about `n_tokens`."""
    prompt = Prompt(text=_text(engine, n_tokens, seed=seed))
    sampling = Sampling(temperature=0, max_tokens=max_tokens, seed=0)
    return Request(prompt=prompt, sampling=sampling, id=seed)


def _templated(engine: Engine, n_tokens: int, *, seed: int) -> Request:
    """Return a request for one token, whose system prompt the prefix cache stores."""
    system = Message("system", _text(engine, n_tokens, seed=seed))
    user, other = (Message("user", text) for text in ("river", "A"))
    prompt = Prompt(messages=(system, user), probe=(system, other))
    return Request(prompt=prompt, sampling=Sampling(temperature=0, max_tokens=1), id=seed)


def _text(engine: Engine, n_tokens: int, *, seed: int) -> str:
    cycle = random.Random(seed).sample(_WORDS, _CYCLE)
    count, text = n_tokens, ""
    for _ in range(4):
        text = " ".join((cycle * (count // _CYCLE + 1))[:count])
        got = len(engine.tokenize(Prompt(text=text)).token_ids)
        if got == n_tokens:
            break
        count = max(1, count + round((n_tokens - got) * count / max(got, 1)))
    return text


def _steps(finished: Finished) -> int:
    return finished.usage.completion_tokens - 1  # the prefill computes the first token


def _rate(count: int, seconds: float) -> float:
    return count / max(seconds, 1e-9)
