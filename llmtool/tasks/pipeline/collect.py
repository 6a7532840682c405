"""Convert engine events to results: tokens as they arrive, and a `Generation` per request."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing, nullcontext
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from llmtool.engine.types import (
    MAX_SEED,
    Engine,
    EngineInfo,
    Failed,
    Finished,
    Request,
    Token,
    TokenLogprob,
    Usage,
)
from llmtool.errors import EngineError, OutputValidationError, UsageError
from llmtool.tasks.pipeline.duplicates import answer_once, request_key
from llmtool.tasks.pipeline.ordering import OrderedResults, closing_stream
from llmtool.tasks.pipeline.token_logprobs import tokens_of
from llmtool.tasks.results import Choice, Generation, Timing

if TYPE_CHECKING:
    from llmtool.tasks.pipeline.output_spec import OutputSpec

NO_ANSWER = "the model reasoned but gave no answer; raise --max-tokens"

E = TypeVar("E")
R = TypeVar("R")


def map_texts(
    texts: str | Iterable[Any], run: Callable[[Iterable[Any]], Iterator[R]]
) -> R | Iterator[R] | list[R]:
    """Return one result for a text, a list for a sequence, or an iterator for an iterator.

    Raises:
        UsageError: `texts` is a mapping.

    Example:
        >>> def run(texts): return (text.upper() for text in texts)
        >>> map_texts("a", run), map_texts(["a", "b"], run)
        ('A', ['A', 'B'])
    """
    if isinstance(texts, str):
        return next(run([texts]))
    if isinstance(texts, Mapping):
        raise UsageError("texts must be a list or an iterator, not a mapping")
    results = run(texts)
    return results if isinstance(texts, Iterator) else list(results)


def raise_failures(events: Iterable[E | Failed]) -> Generator[E, None, None]:
    """Yield events until one is a `Failed`.

    Raises:
        LlmtoolError: the error of the first `Failed`; requests in progress are stopped.
    """
    with closing(events) if isinstance(events, Generator) else nullcontext():
        for event in events:
            if isinstance(event, Failed):
                raise event.error
            yield event


def stream_outcomes(
    engine: Engine,
    requests: Iterable[Request | Failed | None],
    *,
    model: str,
    output_spec: OutputSpec | None = None,
    started: float | None = None,
) -> Generator[Token | Generation | Failed, None, None]:
    """Run requests in one engine stream; yield tokens as they arrive, and outcomes in order.

    Requests are read as the engine needs them, so there can be any number; their ids must differ.
    A request that fails, or whose reply is invalid, yields a `Failed`. Equal requests whose reply
    is not random are answered once. `started` is the `time.perf_counter()` from which `seconds`
    counts, by default the time when each request is read.
    """

    def run(
        requests: Iterator[Request | Failed | None],
    ) -> Generator[Token | Generation | Failed, None, None]:
        return _stream(engine, requests, model=model, output_spec=output_spec, started=started)

    def adapt(outcome: Token | Generation, request: Request) -> Token | Generation:
        if isinstance(outcome, Token):
            return outcome
        seed = outcome.seed if request.sampling.seed is None else request.sampling.seed
        choices = tuple(
            msgspec.structs.replace(
                choice,
                value=None if output_spec is None else output_spec.parse(choice.text),
                seed=(seed + i) % (MAX_SEED + 1),
            )
            for i, choice in enumerate(outcome.choices)
        )
        return msgspec.structs.replace(
            outcome, choices=choices, value=choices[0].value, seed=choices[0].seed
        )

    return answer_once(requests, run, key=request_key, kind=Generation, adapt=adapt)


def _stream(
    engine: Engine,
    requests: Iterable[Request | Failed | None],
    *,
    model: str,
    output_spec: OutputSpec | None,
    started: float | None,
) -> Generator[Token | Generation | Failed, None, None]:
    results = OrderedResults[Request, _Answer](requests, lambda request: _Answer(request, started))
    with closing_stream(engine.stream(results.requests())) as events:
        for event in events:
            if isinstance(event, Failed):
                results.fail(event)
            elif isinstance(event, Token):
                results.answer(event.id).take(event)
                yield event
            else:
                results.answer(event.id).end(event)
            for done in results.pop_complete():
                yield done if isinstance(done, Failed) else done.outcome(engine, model, output_spec)
        if results:
            raise EngineError("the model was closed before all replies were complete")


class _Answer:
    """The events of one request so far."""

    def __init__(self, request: Request, started: float | None) -> None:
        self.request = request
        self._started = time.perf_counter() if started is None else started
        self._first_token: float | None = None
        self._seconds = 0.0
        self._parts = [_Parts() for _ in range(request.n)]
        self._ends: dict[int, Finished] = {}

    @property
    def is_complete(self) -> bool:
        return len(self._ends) == self.request.n

    def take(self, token: Token) -> None:
        if self._first_token is None:
            self._first_token = time.perf_counter() - self._started
        parts = self._parts[token.choice]
        (parts.reasoning if token.reasoning else parts.text).append(token.text)
        if token.logprob is not None:
            parts.logprobs.append(token.logprob)

    def end(self, event: Finished) -> None:
        self._ends[event.choice] = event
        self._seconds = time.perf_counter() - self._started

    def outcome(
        self, engine: Engine, model: str, output_spec: OutputSpec | None
    ) -> Generation | Failed:
        """Return the result, or the error of an invalid reply."""
        wants_logprobs = self.request.sampling.logprobs > 0
        ends = [self._ends[i] for i in range(self.request.n)]
        choices = tuple(
            parts.choice(end, output_spec, logprobs=wants_logprobs)
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
            warnings=tuple(_warnings(engine, self.request, ends, choices, output_spec)),
        )
        error = _validation_error(generation)
        return generation if error is None else Failed(self.request.id, error)


class _Parts:
    """The tokens of one choice so far."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.reasoning: list[str] = []
        self.logprobs: list[TokenLogprob] = []

    def choice(self, end: Finished, output_spec: OutputSpec | None, *, logprobs: bool) -> Choice:
        text = "".join(self.text)
        value, error = None, None
        if output_spec is not None:
            try:
                value = output_spec.check(text, end)
            except OutputValidationError as exc:
                error = str(exc)
        return Choice(
            text=text,
            value=value,
            error=error,
            reasoning="".join(self.reasoning) or None,
            finish_reason=end.finish_reason,
            seed=end.seed,
            logprobs=tokens_of(text, self.logprobs) if logprobs else None,
        )


def _validation_error(generation: Generation) -> OutputValidationError | None:
    invalid = [(i, each.error) for i, each in enumerate(generation.choices, 1) if each.error]
    if not invalid:
        return None
    number, error = invalid[0]
    n = len(generation.choices)
    if n > 1:
        error = f"{len(invalid)} of {n} replies are invalid; reply {number}: {error}"
    return OutputValidationError(error, result=generation)


def _timing(
    engine: Engine, ends: list[Finished], seconds: float, first_token: float | None
) -> Timing:
    info = engine.info
    prefill = sum(end.timings.prefill_seconds for end in ends)
    # Choices are decoded together, so their times overlap.
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
    engine: Engine,
    request: Request,
    ends: list[Finished],
    choices: tuple[Choice, ...],
    output_spec: OutputSpec | None,
) -> Iterator[str]:
    cut = [end for end in ends if end.finish_reason == "length"]
    if cut:
        used = cut[0].usage.completion_tokens
        which = f"{len(cut)} of {len(ends)} replies" if len(ends) > 1 else "reply"
        yield f"{which} truncated at {used} tokens; raise --max-tokens"
    if n_cut := max(end.cut_reasoning_tokens for end in ends):
        yield f"reasoning ended after {n_cut} tokens; raise --think-tokens or --max-tokens"
    if any(each.reasoning and not each.text for each in choices):
        yield NO_ANSWER
    if output_spec is not None and output_spec.unenforced:
        yield f"not enforced while decoding, only checked afterwards: {output_spec.unenforced}"
    if request.prompt.thinking is False and not engine.info.switches_reasoning:
        yield "--no-think has no effect: the chat template of this model cannot switch reasoning"
    yield from context_warnings(engine.info)


def context_warnings(info: EngineInfo) -> Iterator[str]:
    """Yield a warning if the context is longer than the one that the model was trained with."""
    if info.n_ctx > info.n_ctx_train:
        yield (
            f"the context of {info.n_ctx:,} tokens is longer than the {info.n_ctx_train:,} that "
            "the model was trained with; quality may suffer"
        )
