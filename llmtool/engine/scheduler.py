"""Requests to events, one sequence at a time.

Every request is prefilled once in chunks of `n_batch`; all its choices take their first token from
the same logits, so that choice i of n equals a single choice with seed + i.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Generator, Iterable, Iterator
from typing import TYPE_CHECKING

from llmtool.engine.llama import Context, Sampler
from llmtool.engine.reply import Reply
from llmtool.engine.types import (
    MAX_SEED,
    Cancellation,
    Event,
    Failed,
    Finished,
    FinishReason,
    Request,
    Timings,
    Usage,
)
from llmtool.errors import Cancelled, LlmtoolError

if TYPE_CHECKING:
    from llmtool.engine.local import LocalEngine


def serve(engine: LocalEngine, requests: Iterable[Request]) -> Iterator[Event]:
    """Answer requests in order; one that cannot be served yields `Failed`, and the next follows.

    Raises:
        Cancelled: a stop was asked for.
    """
    for request in requests:
        try:
            yield from _serve_one(engine, request)
        except Cancelled:
            raise
        except LlmtoolError as exc:
            yield Failed(request.id, exc)


def _serve_one(engine: LocalEngine, request: Request) -> Iterator[Event]:
    prompt = engine.tokenize(request.prompt)
    ids = prompt.token_ids
    max_tokens, n_ctx = engine.fit(len(ids), request.sampling.max_tokens)
    context = engine.context(n_ctx)
    seed = request.sampling.seed
    if seed is None:
        seed = secrets.randbelow(MAX_SEED + 1)
    started = time.perf_counter()
    _prefill(context, ids, engine.cancellation)
    seeds = [(seed + i) % (MAX_SEED + 1) for i in range(request.n)]
    samplers = [Sampler(engine.weights, request.sampling, seed=s) for s in seeds]
    try:
        first = [sampler.sample(context) for sampler in samplers]
        prefill_seconds = time.perf_counter() - started
        for choice, sampler in enumerate(samplers):
            cached = 0
            if choice:
                cached = len(ids)
                if not context.truncate(len(ids)):  # recurrent memory cannot go back
                    _prefill(context, ids, engine.cancellation)
                    cached = 0
            reply = Reply(
                request.id,
                choice,
                stop=request.sampling.stop,
                marks=engine.marks,
                in_thought=prompt.in_thought,
            )
            began = time.perf_counter()
            finish, completion_tokens = yield from _decode(
                engine, context, sampler, reply, first=first[choice], max_tokens=max_tokens
            )
            yield Finished(
                id=request.id,
                choice=choice,
                finish_reason=finish,
                usage=Usage(
                    prompt_tokens=len(ids),
                    cached_tokens=cached,
                    completion_tokens=completion_tokens,
                ),
                timings=Timings(
                    prefill_seconds=0.0 if choice else prefill_seconds,
                    decode_seconds=time.perf_counter() - began,
                ),
                seed=seeds[choice],
            )
    finally:
        for sampler in samplers:
            sampler.close()


def _prefill(context: Context, ids: tuple[int, ...], cancellation: Cancellation) -> None:
    context.clear()
    for at in range(0, len(ids), context.n_batch):
        cancellation.check()
        context.decode(ids[at : at + context.n_batch])


def _decode(
    engine: LocalEngine,
    context: Context,
    sampler: Sampler,
    reply: Reply,
    *,
    first: int,
    max_tokens: int,
) -> Generator[Event, None, tuple[FinishReason, int]]:
    """Yield a choice's tokens; return (finish_reason, completion_tokens)."""
    weights, cancellation = engine.weights, engine.cancellation
    token, n = first, 0
    finish: FinishReason = "length"
    while True:
        if weights.is_end(token):
            finish = "stop"
            break
        n += 1
        if token in engine.mark_tokens:
            piece = weights.render_piece(token, special=True)
        else:
            piece = weights.piece(token)
        yield from reply.push(piece)
        if reply.stopped:
            finish = "stop"
            break
        if n == max_tokens:
            break
        cancellation.check()
        context.decode((token,))
        token = sampler.sample(context)
    yield from reply.finish()
    return finish, n
