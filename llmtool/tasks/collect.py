"""The engine's events to results: every token as it comes, each `Generation` in its turn."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from typing import TYPE_CHECKING

from llmtool.engine.types import (
    Engine,
    Failed,
    Finished,
    Request,
    Token,
    TokenLogprob,
    Usage,
)
from llmtool.errors import ContractError, EngineError, LlmtoolError
from llmtool.tasks.results import Choice, Generation, Timing
from llmtool.tasks.token_text import tokens_of

if TYPE_CHECKING:
    from llmtool.tasks.contract import Contract

# How many requests may be under way, so that one long reply does not make the results behind it
# pile up; more than any engine runs at once.
MAX_AHEAD = 256


def stream_generations(
    engine: Engine,
    requests: Iterable[Request],
    *,
    model: str,
    contract: Contract | None = None,
    started: float | None = None,
) -> Generator[Token | Generation, None, None]:
    """Answer requests together; yield tokens as they come, and results in the requests' order.

    Requests are read as they are needed, so that their number does not matter; their ids differ.
    `started` is the `time.perf_counter()` that `seconds` counts from; None counts each from when
    it was read.

    Raises:
        LlmtoolError: of the first request, in their order, that fails; what is under way stops.
    """
    waiting: deque[_Answer] = deque()
    answers: dict[int, _Answer] = {}

    def read() -> Iterator[Request | None]:
        for request in requests:
            while len(waiting) >= MAX_AHEAD:
                yield None
            answers[request.id] = _Answer(request, started)
            waiting.append(answers[request.id])
            yield request

    events = engine.stream(read())
    try:
        for event in events:
            answer = answers[event.id]
            if isinstance(event, Token):
                answer.take(event)
                yield event
            elif isinstance(event, Failed):
                answer.error = event.error
            else:
                answer.end(event)
            while waiting and waiting[0].is_complete:
                done = waiting.popleft()
                del answers[done.request.id]
                yield done.result(engine, model, contract)
        if waiting:
            raise EngineError("the model was closed before the reply was complete")
    finally:
        # The engine serves nobody else before this, however long an error keeps its frames.
        close = getattr(events, "close", None)
        if close is not None:
            close()


class _Answer:
    """What has come for one request."""

    def __init__(self, request: Request, started: float | None) -> None:
        self.request = request
        self.error: LlmtoolError | None = None
        self._started = time.perf_counter() if started is None else started
        self._first_token: float | None = None
        self._seconds = 0.0
        self._parts = [_Parts() for _ in range(request.n)]
        self._ends: dict[int, Finished] = {}

    @property
    def is_complete(self) -> bool:
        return self.error is not None or len(self._ends) == self.request.n

    def take(self, token: Token) -> None:
        if self._first_token is None:
            self._first_token = time.perf_counter() - self._started
        parts = self._parts[token.choice]
        (parts.thought if token.thought else parts.text).append(token.text)
        if token.logprob is not None:
            parts.logprobs.append(token.logprob)

    def end(self, event: Finished) -> None:
        self._ends[event.choice] = event
        self._seconds = time.perf_counter() - self._started

    def result(self, engine: Engine, model: str, contract: Contract | None) -> Generation:
        """Return the result, or raise what is there instead of one."""
        if self.error is not None:
            raise self.error
        wants_logprobs = self.request.sampling.logprobs > 0
        ends = [self._ends[i] for i in range(self.request.n)]
        choices = tuple(
            parts.choice(end, contract, logprobs=wants_logprobs)
            for parts, end in zip(self._parts, ends, strict=True)
        )
        generation = Generation(
            text=choices[0].text,
            value=choices[0].value,
            choices=choices,
            model=model,
            usage=Usage(
                prompt_tokens=ends[0].usage.prompt_tokens,
                cached_tokens=ends[0].usage.cached_tokens,
                completion_tokens=sum(end.usage.completion_tokens for end in ends),
            ),
            seconds=self._seconds,
            timing=_timing(engine, ends, self._seconds, self._first_token),
            finish_reason=ends[0].finish_reason,
            seed=ends[0].seed,
            warnings=tuple(_warnings(engine, ends, choices, contract)),
        )
        _raise_broken(generation)
        return generation


class _Parts:
    """The pieces of one choice."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.thought: list[str] = []
        self.logprobs: list[TokenLogprob] = []

    def choice(self, end: Finished, contract: Contract | None, *, logprobs: bool) -> Choice:
        text = "".join(self.text)
        value, error = None, None
        if contract is not None:
            try:
                value = contract.check(text, end)
            except ContractError as exc:
                error = str(exc)
        return Choice(
            text=text,
            value=value,
            error=error,
            thought="".join(self.thought) or None,
            finish_reason=end.finish_reason,
            seed=end.seed,
            logprobs=tokens_of(text, self.logprobs) if logprobs else None,
        )


def _raise_broken(generation: Generation) -> None:
    broken = [(i, each.error) for i, each in enumerate(generation.choices, 1) if each.error]
    if not broken:
        return
    number, error = broken[0]
    n = len(generation.choices)
    if n > 1:
        error = f"{len(broken)} of {n} replies fail; reply {number}: {error}"
    raise ContractError(error, result=generation)


def _timing(
    engine: Engine, ends: list[Finished], seconds: float, first_token: float | None
) -> Timing:
    info = engine.info
    prefill = sum(end.timings.prefill_seconds for end in ends)
    # Choices that are decoded together share their seconds.
    spans = [
        (t.first_token_at, t.first_token_at + t.decode_seconds)
        for t in (end.timings for end in ends)
    ]
    decode = max(end for _, end in spans) - min(begin for begin, _ in spans)
    known = info.load_seconds + info.context_seconds + prefill + decode
    return Timing(
        setup=max(0.0, seconds - known),
        load=info.load_seconds,
        context=info.context_seconds,
        prefill=prefill,
        decode=decode,
        first_token=first_token,
    )


def _warnings(
    engine: Engine, ends: list[Finished], choices: tuple[Choice, ...], contract: Contract | None
) -> Iterator[str]:
    cut = [end for end in ends if end.finish_reason == "length"]
    if cut:
        used = cut[0].usage.completion_tokens
        which = f"{len(cut)} of {len(ends)} replies were" if len(ends) > 1 else "the reply was"
        yield f"{which} cut at {used} tokens (raise --max-tokens)"
    if any(each.thought and not each.text for each in choices):
        yield "the model thought and gave no answer (raise --max-tokens)"
    if contract is not None and contract.unenforced:
        yield f"checked in the finished reply alone: {contract.unenforced}"
    info = engine.info
    if info.n_ctx > info.n_ctx_train:
        yield (
            f"a context of {info.n_ctx} tokens is longer than the {info.n_ctx_train} that the "
            "model was made for"
        )
