"""How fast a model runs here, measured through the engine that every task uses."""

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

from llmtool.engine.llama.memory_usage import Buffers, peak_bytes, resident_bytes
from llmtool.engine.types import Engine, Failed, Finished, Message, Prompt, Request, Sampling
from llmtool.errors import ContextOverflow, EngineError

Kind = Literal["load", "first", "prompt", "reply", "together", "memory"]
Unit = Literal["s", "tok/s", "bytes"]
OpenEngine = Callable[[int, Path | None], Engine]
OnText = Callable[[str], None]

# One token each in most vocabularies. A short cycle of them is a text that a model goes on with, so
# that replies run to their full length.
_WORDS = (
    "river road house tree light water stone field bird rain city door hand fire snow wind ship "
    "book king moon star song wall gold horse bread glass train bridge garden"
).split()
_CYCLE = 5
_SHORT = 16  # tokens of a prompt whose length does not matter


class BenchPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What is measured, and how often. Lengths are in tokens.

    Every reply is greedy. `n_template` is the part of a prompt that the prefix cache may know;
    `depths` are the tokens before a single reply of `n_reply`; at each of `n_parallel`, so many
    prompts get replies of `n_reply_together` at the same time.
    """

    repetitions: int = 3
    n_template: int = 200
    n_prompt: int = 512
    n_reply: int = 64
    depths: tuple[int, ...] = (100, 1000)
    n_parallel: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    n_reply_together: int = 24


QUICK = BenchPlan(repetitions=1, n_prompt=256, n_reply=32, depths=(100,), n_parallel=(1, 4, 16))


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One figure and the values that it is the median of.

    `test` is its name, as llama-bench would write it where it has one; `ratio` is to one sequence.
    """

    kind: Kind
    test: str
    what: str
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


def _nothing(_text: str) -> None:
    return None


def measure(
    open_engine: OpenEngine,
    plan: BenchPlan | None = None,
    *,
    memory: Iterable[Row] | None = None,
    on_step: OnText = _nothing,
    on_note: OnText = _nothing,
) -> Iterator[Row]:
    """Measure an engine and yield each figure when it is certain.

    Args:
        open_engine: loads the model for so many sequences at once, with a prefix cache in the
            folder, if one is given. The file should have been read before: what is measured is
            loading from the page cache.
        memory: what `weigh` said of the first engine of this process, after which no other is the
            first; None weighs the first one that is opened here.
        on_step: told in words what is measured next.
        on_note: told what had to be left out, and why.

    Raises:
        Cancelled: the engine's cancellation was set.

    Example:
        >>> from llmtool.engine.scripted import ScriptedEngine
        >>> plan = Plan(repetitions=1, n_prompt=20, depths=(10,), n_parallel=(1,))
        >>> rows = measure(lambda n, cache: ScriptedEngine("word " * 100), plan)
        >>> [row.test for row in rows if row.kind != "memory"]
        ['load', 'first', 'pp20', 'tg64 @ d10', 'tg24 x 1']
    """
    plan = plan or BenchPlan()
    on_step("loading and memory")
    if memory is None:
        engine, memory = weigh(lambda: open_engine(1, None))
    else:
        engine = open_engine(1, None)
    loads = [engine.info.load_seconds]
    for _ in range(plan.repetitions - 1):
        engine.close()
        engine = open_engine(1, None)
        loads.append(engine.info.load_seconds)
    what = "load, the file in the page cache"
    yield Row(kind="load", test="load", what=what, unit="s", values=tuple(loads))
    yield from _first(open_engine, plan, on_step, on_note)
    with contextlib.closing(engine):
        yield from _prompt(engine, plan, on_step, on_note)
        for depth in plan.depths:
            yield from _reply(engine, plan, depth, on_step, on_note)
    with contextlib.closing(open_engine(max(plan.n_parallel), None)) as engine:
        yield from _together(engine, plan, on_step, on_note)
    yield from memory


def weigh(open_first: Callable[[], Engine]) -> tuple[Engine, list[Row]]:
    """Return the first engine of this process and what it takes for one short reply.

    A second one finds what the first has left. llama.cpp reserves more for its compute buffers than
    a reply touches: what the memory in use grows by between loading and the reply's end is theirs,
    up to the size that it tells. Loading has none of them, but takes more than it keeps.
    """
    with Buffers() as buffers:
        engine = open_first()
        prompts = [_request(engine, _SHORT, seed=seed, max_tokens=8) for seed in (0, 1)]
        loaded, loading = resident_bytes(), peak_bytes()
        _run(engine, prompts[:1])
        used, peak = resident_bytes(), peak_bytes()
    told = buffers.kv_bytes + buffers.compute_bytes
    beyond = beyond_while_loading = None
    if loaded is not None and loading is not None and used is not None:
        if told and buffers.on_host:
            beyond = used - min(told, max(0, used - loaded)) - buffers.weights_bytes
            beyond_while_loading = max(loading - buffers.weights_bytes, beyond)
    sizes = {
        "peak of one short reply": peak,
        "weights, repacked ones included": buffers.weights_bytes or None,
        f"KV cache of {engine.info.n_cells} tokens": buffers.kv_bytes or None,
        "compute buffers, as reserved": buffers.compute_bytes or None,
        "beyond weights, KV and compute": beyond,
        "the same while it loads": beyond_while_loading,
    }
    names = ("peak", "weights", "kv", "compute", "beyond", "loading")
    return engine, [
        Row(kind="memory", test=f"mem {name}", what=what, unit="bytes", values=(size,))
        for name, (what, size) in zip(names, sizes.items(), strict=True)
        if size is not None
    ]


def _first(
    open_engine: OpenEngine, plan: BenchPlan, on_step: OnText, on_note: OnText
) -> Iterator[Row]:
    """Yield how long a fresh engine takes to its first token: load, context, prompt.

    It meets each template twice: unknown, then in the prefix cache, where the first one left it.
    """
    what = f"load to first token, template of {plan.n_template} tokens"
    on_step(what)
    seconds: dict[str, list[float]] = {"first": [], "first cached": []}
    with tempfile.TemporaryDirectory(prefix="llmtool-bench-") as folder:
        for repetition in range(plan.repetitions):
            for test, values in seconds.items():
                with contextlib.closing(open_engine(1, Path(folder))) as engine:
                    request = _templated(engine, plan.n_template, seed=3000 + repetition)
                    started = time.perf_counter()
                    try:
                        [(done, end)] = _run(engine, [request])
                    except ContextOverflow as exc:
                        on_note(f"{what}: left out, {exc}")
                        return
                    if test == "first" or done.usage.cached_tokens:
                        values.append(engine.info.load_seconds + end - started)
    yield Row(kind="first", test="first", what=what, unit="s", values=tuple(seconds["first"]))
    if seconds["first cached"]:
        values = seconds["first cached"]
        what = "the same, the template in the prefix cache"
        yield Row(kind="first", test="first cached", what=what, unit="s", values=tuple(values))


def _prompt(engine: Engine, plan: BenchPlan, on_step: OnText, on_note: OnText) -> Iterator[Row]:
    n = plan.n_prompt
    what = f"prompt of {n:,} tokens"
    on_step(what)
    speeds = []
    try:
        for repetition in range(plan.repetitions):  # another text each time: none is known before
            request = _request(engine, n, seed=1000 + repetition, max_tokens=1)
            [(done, _)] = _run(engine, [request])
            computed = done.usage.prompt_tokens - done.usage.cached_tokens
            speeds.append(_rate(computed, done.timings.prefill_seconds))
    except ContextOverflow as exc:
        on_note(f"{what}: left out, {exc}")
        return
    yield Row(kind="prompt", test=f"pp{n}", what=what, unit="tok/s", values=tuple(speeds))


def _reply(
    engine: Engine, plan: BenchPlan, depth: int, on_step: OnText, on_note: OnText
) -> Iterator[Row]:
    what = f"reply after {depth:,} tokens"
    on_step(what)
    request = _request(engine, depth, seed=2000, max_tokens=plan.n_reply + 1)
    speeds = []
    try:
        for _ in range(plan.repetitions):
            [(done, _end)] = _run(engine, [request])
            _tell_short([done], plan.n_reply + 1, what, on_note)
            speeds.append(_rate(_steps(done), done.timings.decode_seconds))
    except ContextOverflow as exc:
        on_note(f"{what}: left out, {exc}")
        return
    test = f"tg{plan.n_reply} @ d{depth}"
    yield Row(kind="reply", test=test, what=what, unit="tok/s", values=tuple(speeds))


def _together(engine: Engine, plan: BenchPlan, on_step: OnText, on_note: OnText) -> Iterator[Row]:
    """Yield the speed of several replies at once, all sizes in each round: speeds may drift."""
    sizes = sorted({1, *plan.n_parallel})
    speeds: dict[int, list[float]] = {n: [] for n in sizes}
    for round_number in range(plan.repetitions):
        for n in list(sizes):
            on_step(f"{n} together, {round_number + 1} of {plan.repetitions}")
            seeds = range(100 * round_number, 100 * round_number + n)
            limit = plan.n_reply_together + 1
            requests = [_request(engine, _SHORT, seed=s, max_tokens=limit) for s in seeds]
            try:
                done = _run(engine, requests)
            except (EngineError, ContextOverflow) as exc:
                sizes = [size for size in sizes if size < n]
                on_note(f"{n} together and more: left out, {exc}")
                break
            _tell_short([finished for finished, _ in done], limit, f"{n} together", on_note)
            clocks = [finished.timings for finished, _ in done]
            begin = min(clock.first_token_at for clock in clocks)
            end = max(clock.first_token_at + clock.decode_seconds for clock in clocks)
            steps = sum(_steps(finished) for finished, _ in done)
            speeds[n].append(_rate(steps, end - begin))
    for n in sizes:
        ratios = [many / one for many, one in zip(speeds[n], speeds[1], strict=True)]
        yield Row(
            kind="together",
            test=f"tg{plan.n_reply_together} x {n}",
            what="1 alone" if n == 1 else f"{n} together",
            unit="tok/s",
            values=tuple(speeds[n]),
            n_parallel=n,
            ratio=statistics.median(ratios),
        )


def _run(engine: Engine, requests: Iterable[Request]) -> list[tuple[Finished, float]]:
    """Return how each request finished, and when by `time.perf_counter`."""
    finished = []
    for event in engine.stream(requests):
        if isinstance(event, Finished):
            finished.append((event, time.perf_counter()))
        elif isinstance(event, Failed):
            raise event.error
    return finished


def _request(engine: Engine, n_tokens: int, *, seed: int, max_tokens: int) -> Request:
    """Return a greedy request whose prompt has `n_tokens`, or nearly so many."""
    prompt = Prompt(text=_text(engine, n_tokens, seed=seed))
    sampling = Sampling(temperature=0, max_tokens=max_tokens, seed=0)
    return Request(prompt=prompt, sampling=sampling, id=seed)


def _templated(engine: Engine, n_tokens: int, *, seed: int) -> Request:
    """Return a request for one token, whose system prompt is worth keeping."""
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
    return finished.usage.completion_tokens - 1  # the first token comes with the prompt


def _rate(count: int, seconds: float) -> float:
    return count / max(seconds, 1e-9)


def _tell_short(done: list[Finished], limit: int, what: str, on_note: OnText) -> None:
    short = sum(finished.usage.completion_tokens < limit for finished in done)
    if short:
        on_note(f"{what}: {short} of {len(done)} replies ended before {limit} tokens")
