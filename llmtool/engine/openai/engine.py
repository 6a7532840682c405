"""The engine of a model on a server with OpenAI's API."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import time
from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, TypeVar, cast

import msgspec

from llmtool.cancellation import Cancellation
from llmtool.engine.intake import AnyRequest, read_available
from llmtool.engine.openai.bodies import STANDARD_PENALTIES, make_body
from llmtool.engine.openai.connection import Connection
from llmtool.engine.openai.discovery import Discovery, Found
from llmtool.engine.openai.errors import Fatal, Retryable, UnsupportedField, shorten
from llmtool.engine.openai.ollama import OllamaApi
from llmtool.engine.openai.replies import OtherModel, ReplyReader, check_model
from llmtool.engine.openai.scoring import Scorer, choose_scorer
from llmtool.engine.openai.tokens import TokenCounter
from llmtool.engine.types import (
    DEFAULT_MAX_TOKENS,
    MAX_SEED,
    EngineInfo,
    Event,
    Failed,
    Finished,
    Prompt,
    ReasoningSupport,
    Request,
    ScoreRequest,
    Scores,
    StreamProgress,
    Token,
    Tokenized,
)
from llmtool.errors import (
    Cancelled,
    ClosedError,
    ContextOverflow,
    EngineError,
    LlmtoolError,
    ModelNotFound,
    ServerError,
    UsageError,
)
from llmtool.forks import call_after_fork
from llmtool.option_names import option

T = TypeVar("T")
_POLL_SECONDS = 0.05
_IDLE_SECONDS = 0.005
_ASSUMED_CONTEXT = 8192  # tokens, of a server that does not report its limit
_READ_AHEAD = 2  # requests, for each that runs
_MAX_FAILURES = 10  # of the server, without a success between them


class RemoteEngine:
    """Runs requests on a server.

    Several requests of a stream run at once. Their events are yielded when a reply is complete, so
    that one whose connection is lost is requested again; a single request is streamed.

    Args:
        connection: the connections to the server; `close` closes them.
        discovery: what was found about server and model. If it was recalled, and an answer
            contradicts it, the server is asked again, and the request repeated.
        n_ctx: the context length to assume if the server does not report it.
        cancellation: stops the requests.
        given: the names of the sampling options that the user gave, and which are not omitted.
        on_note: called with a line about each longer wait, and about options that are not sent.
    """

    def __init__(
        self,
        connection: Connection,
        discovery: Discovery,
        *,
        n_ctx: int | None = None,
        cancellation: Cancellation,
        given: Collection[str] = (),
        on_note: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._given, self._noted = given, set[str]()
        self._connection, self._discovery = connection, discovery
        self._assumed_n_ctx = n_ctx
        self._cancellation, self._on_note = cancellation, on_note
        self._choosing, self._asking = asyncio.Lock(), asyncio.Lock()
        self._used: Found | None = None
        self._update()
        self._closed = self._forked = False
        self._progress = StreamProgress()
        self._n_failures = 0
        call_after_fork(self)

    def _update(self) -> Found:
        """Use what was found last, and return it."""
        found = self._discovery.found
        assert found is not None
        if found is not self._used:
            connection, (server, model) = self._connection, found
            self._used, self._server, self._model = found, server, model
            self._n_ctx = model.n_ctx or self._assumed_n_ctx
            self._omitted = set(model.rejected)
            self._tokens = TokenCounter(connection, server.features, model.name)
            self._scorer: Scorer | None = None
            is_ollama = server.kind == "ollama"
            self._ollama = OllamaApi(connection.endpoint, self._n_ctx) if is_ollama else None
            self._single_choice = not server.features.choices
        return found

    def after_fork(self) -> None:
        """Refuse to run in a child, which does not have the thread."""
        self._forked = True

    def close(self) -> None:
        """Stop what runs, and close the connections."""
        if not self._forked:
            self._closed = True
            self._connection.close()

    @property
    def info(self) -> EngineInfo:
        """The limits of the server's model; loading it took no time."""
        n_ctx = self._n_ctx or _ASSUMED_CONTEXT
        return EngineInfo(
            n_ctx=n_ctx,
            n_ctx_train=max(n_ctx, self._model.n_ctx_train or n_ctx),
            n_params=self._model.n_params or parameters_in(self._model.name),
        )

    @property
    def progress(self) -> StreamProgress:
        return self._progress

    @property
    def reasoning_support(self) -> ReasoningSupport:
        """As if the model had all: the server does not report it."""
        return ReasoningSupport()

    def tokenize(self, prompt: Prompt) -> Tokenized:
        self._update()
        known = self._tokens.find(prompt)
        if known is not None:
            return known
        self._check()
        return self._connection.run(self._tokens.tokenize(prompt), self._check)

    def check_length(self, n_prompt: int, max_tokens: int | None) -> tuple[int, int]:
        """Return (max_tokens, n_ctx); a server that does not report its limit has none here.

        Raises:
            ContextOverflow: prompt and reply do not fit.
        """
        n_ctx = self._n_ctx
        n_reply = DEFAULT_MAX_TOKENS if max_tokens is None else max_tokens
        if n_ctx is None:
            return n_reply, max(_ASSUMED_CONTEXT, n_prompt + n_reply)
        needed = n_prompt + (1 if max_tokens is None else max_tokens)
        if needed > n_ctx:
            raise ContextOverflow(
                f"prompt and reply need {needed:,} tokens, but the context of the server has "
                f"{n_ctx:,}; shorten the input, or lower {option('max_tokens')}",
                needed=needed,
                available=n_ctx,
            )
        return min(n_reply, n_ctx - n_prompt), n_ctx

    def save_state(self, prompt: Prompt) -> None:
        """Do nothing: the server has the cache."""

    def score(self, requests: Iterable[ScoreRequest | Failed | None]) -> Iterator[Scores | Failed]:
        """Yield the scores of each request; raises as `stream`."""
        return cast("Iterator[Scores | Failed]", self.stream(requests))

    def stream(self, requests: Iterable[AnyRequest | Failed | None]) -> Iterator[Event]:
        """Yield the events of requests; see `Engine.stream`.

        Raises:
            Cancelled: the cancellation was set, or a scope of it around this call, or all of
                several requests would fail, such as with an invalid key.
            ClosedError: the engine was closed.
        """
        source, exhausted, is_single = iter(requests), False, False
        stream = _Stream()
        events = stream.events
        running: set[_Call] = set()
        fatal: Fatal | None = None
        n_started = 0
        self._progress.reset()
        self._progress.max_parallel = self._connection.concurrency
        try:
            with self._cancellation.waking(lambda: events.put(None)):
                while not (exhausted and not running):
                    self._check()
                    if not exhausted:
                        new, failed, exhausted = read_available(
                            source, _READ_AHEAD * self._connection.concurrency - len(running)
                        )
                        n_started += len(new)
                        is_single = exhausted and n_started == 1
                        running |= {self._start(each, stream, held=not is_single) for each in new}
                        yield from failed
                    self._pass_on_notes()
                    if not running:
                        if not exhausted:
                            time.sleep(_IDLE_SECONDS)  # the source has no request yet
                        continue
                    yield from self._stop_cancelled(running)
                    with contextlib.suppress(Empty):
                        if (item := events.get(timeout=_POLL_SECONDS)) is None:
                            continue
                        call, event = item
                        if call not in running:
                            continue
                        if isinstance(event, Fatal) and is_single:
                            event = event.error
                        if isinstance(event, Fatal):  # others may still end
                            fatal, exhausted = fatal or event, True
                            running.discard(call)
                        else:
                            yield from self._receive(call, event, running)
            if fatal is not None:
                raise fatal.as_stop()
        finally:
            for call in running:
                call.future.cancel()
            self._progress.running = ()
            self._pass_on_notes()

    def _stop_cancelled(self, running: set[_Call]) -> Iterator[Failed]:
        """Stop the calls whose own cancellation was set."""
        for call in list(running):
            stop = call.request.cancellation
            if stop is not None and stop.cancelled:
                call.future.cancel()
                running.discard(call)
                yield Failed(call.request.id, Cancelled("cancelled"))

    def _receive(
        self, call: _Call, event: Event | BaseException | None, running: set[_Call]
    ) -> Iterator[Event]:
        """Yield an event of a call, or its error; None is its end."""
        self._progress.running = tuple(
            (each.n_tokens, each.max_tokens) for each in running if each.n_tokens
        )
        if isinstance(event, (Token, Finished, Scores, Failed)):
            if isinstance(event, Finished):
                self._progress.add_reply(event.usage.completion_tokens)
            yield event
            return
        running.discard(call)
        if event is None:
            self._n_failures = 0
            return
        if isinstance(event, Cancelled):  # not sent after a fatal error
            return
        if not isinstance(event, LlmtoolError):
            raise event
        self._n_failures += isinstance(event, ServerError)
        if self._n_failures >= _MAX_FAILURES:
            raise Fatal(event).as_stop()
        yield Failed(call.request.id, event)

    def _start(self, request: AnyRequest, stream: _Stream, *, held: bool) -> _Call:
        call = _Call(request)
        self._progress.n_requests += 1
        self._progress.n_replies += request.n if isinstance(request, Request) else 1

        async def serve() -> None:
            end: BaseException | None = None
            used = self._update()
            try:
                try:
                    await self._answer(call, stream, held=held)
                except (Fatal, LlmtoolError) as exc:
                    if call.has_events or not await self._is_replaced(exc, used):
                        raise
                    await self._answer(call, stream, held=held)
            except Retryable as exc:
                end = exc.error
            except BaseException as exc:
                stream.has_failed |= isinstance(exc, Fatal) and held
                end = exc
            stream.events.put((call, end))

        call.future = self._connection.submit(serve())
        return call

    async def _is_replaced(self, exc: Fatal | LlmtoolError, used: Found) -> bool:
        """Return whether the server is another program than the one recalled.

        Raises:
            LlmtoolError: it does not have the model any more.
        """
        error = exc.error if isinstance(exc, Fatal) else exc
        if not isinstance(error, (UsageError, ModelNotFound, ContextOverflow, OtherModel)):
            return False
        async with self._asking:
            if self._discovery.is_recalled:
                await self._discovery.ask(self._connection)
        found = self._update()
        if found.model.name != used.model.name:  # for which the task was prepared
            name, other = self._connection.endpoint.name, shorten(found.model.name)
            raise Fatal(OtherModel(f"{name}: the server now has {other!r}; run the command again"))
        return found != used

    async def _answer(self, call: _Call, stream: _Stream, *, held: bool) -> None:
        request = call.request
        if isinstance(request, Request):
            await self._generate(call, request, stream, held=held)
            return
        scorer = await self._find_scorer()
        scores = await self._connection.retry(lambda: stream.if_running(scorer.score(request)))
        usage = self._connection.endpoint.add_cost(scores.usage, self._model.name)
        stream.put(call, msgspec.structs.replace(scores, id=request.id, usage=usage))

    async def _generate(
        self, call: _Call, request: Request, stream: _Stream, *, held: bool
    ) -> None:
        seed, first, n_left = self._choose_seed(request), 0, request.n
        bias = await self._resolve_bias(request)
        while n_left:
            n = 1 if self._single_choice else n_left
            choices = _Choices(
                msgspec.structs.replace(request, n=n), first, (seed + first) % (MAX_SEED + 1), bias
            )
            n_done = await self._request_choices(call, choices, stream, held=held)
            if n_done < n:
                self._single_choice = True
            first, n_left = first + n_done, n_left - n_done

    async def _request_choices(
        self, call: _Call, choices: _Choices, stream: _Stream, *, held: bool
    ) -> int:
        """Request choices; return how many the server made."""
        request, seed = choices.request, choices.seed
        endpoint, model = self._connection.endpoint, self._model.name
        features = self._server.features
        body = make_body(
            request,
            endpoint=endpoint,
            features=features,
            model=model,
            seed=seed,
            bias=choices.bias,
        )
        read: Callable[[bytes], bytes] = bytes
        if self._ollama is not None:
            body, read = self._ollama.convert(body, request)
        self._omit_unsupported(body.document)

        async def attempt() -> int:
            reader = ReplyReader(
                request,
                endpoint=endpoint,
                model=model,
                seed=seed,
                first_choice=choices.first,
                repeats_prefill=features.prefill in ("", "repeat"),
            )
            tokens: list[Event] = []
            call.n_tokens = 0
            documents = self._connection.events(
                body.path, body.document, model=model, has_begun=lambda: reader.has_begun
            )
            try:
                async with contextlib.aclosing(documents):
                    async for data in documents:
                        found = reader.add(read(data))
                        check_model(endpoint, model, reader.answered_by)
                        for token in found:
                            if held:
                                tokens.append(token)
                            else:
                                stream.put(call, token)
                        call.n_tokens = reader.n_tokens
                        if reader.is_stopped:
                            break
                ends = reader.finish()
            except Retryable as exc:
                if reader.has_begun and not held:
                    raise exc.error from None
                raise
            for event in (*tokens, *ends):
                if isinstance(event, Finished):
                    is_first = event.choice == choices.first
                    usage = endpoint.add_cost(event.usage, model, with_prompt=is_first)
                    event = msgspec.structs.replace(event, usage=usage)
                stream.put(call, event)
            return request.n - reader.n_missing

        while True:
            try:
                return await self._connection.retry(lambda: stream.if_running(attempt()))
            except UnsupportedField as exc:
                if not self._can_omit(exc.field, body.document):
                    raise
                self._omit_unsupported(body.document)

    def _can_omit(self, field: str, document: dict[str, Any]) -> bool:
        """Whether a field has another name, or only a template or a default set it."""
        is_optional = field in ("temperature", "top_p", "seed", *STANDARD_PENALTIES)
        may_omit = (is_optional and field not in self._given) or field == "max_tokens"
        if field not in document or not may_omit:
            return False
        if field not in self._omitted:
            self._omitted.add(field)
            self._discovery.reject(field)
            self._used = self._discovery.found
        return True

    def _omit_unsupported(self, document: dict[str, Any]) -> None:
        """Remove the fields that the model has rejected, or rename them."""
        for field in self._omitted & document.keys():
            if field in self._given and field != "max_tokens":
                continue
            value = document.pop(field)
            if field == "max_tokens":
                document["max_completion_tokens"] = value
            elif field not in self._noted:
                self._noted.add(field)
                name = self._connection.endpoint.name
                self._connection.notes.put(
                    f"{name}: {option(field)} is not sent, as the model does not support it"
                )

    def _pass_on_notes(self) -> None:
        with contextlib.suppress(Empty):
            while True:
                self._on_note(self._connection.notes.get_nowait())

    def _choose_seed(self, request: Request) -> int:
        if request.sampling.seed is not None:
            return request.sampling.seed
        return 0 if request.sampling.temperature == 0 else random.randrange(2**31)

    async def _resolve_bias(self, request: Request) -> dict[str, float]:
        """Return `logit_bias` with the ids of tokens as keys.

        Raises:
            UsageError: the server cannot find the token of a text.
        """
        given, features = request.sampling.logit_bias, self._server.features
        if features.bias_by_text:
            return dict(given)
        found: dict[str, float] = {}
        for key, value in given.items():
            if key.isdigit():
                found[key] = value
                continue
            if not features.tokenize:
                raise UsageError(
                    f"{option('logit_bias', {key: value})}: the server needs the id of the token"
                )
            ids = await self._tokens.token_ids(key)
            if len(ids) != 1:
                raise UsageError(
                    f"{option('logit_bias', {key: value})}: {key!r} is {len(ids)} tokens; use one"
                )
            found[str(ids[0])] = value
        return found

    async def _find_scorer(self) -> Scorer:
        async with self._choosing:
            if self._scorer is None:
                self._scorer = await choose_scorer(
                    self._connection,
                    self._server,
                    self._model,
                    self._tokens,
                    self._ollama,
                )
        return self._scorer

    def _check(self) -> None:
        if self._forked:
            raise EngineError("the process was forked; create a Toolbox in the child")
        if self._closed:
            raise ClosedError("the model was closed; create a new Toolbox")
        self._cancellation.check()


class _Call:
    """A request that runs, and its future."""

    future: Future[Any]

    def __init__(self, request: AnyRequest) -> None:
        self.request = request
        self.n_tokens = 0
        self.has_events = False
        sampling = request.sampling if isinstance(request, Request) else None
        self.max_tokens = (sampling and sampling.max_tokens) or DEFAULT_MAX_TOKENS


class _Choices(NamedTuple):
    """Choices of one request to the server: the number and the seed of the first one."""

    request: Request
    first: int
    seed: int
    bias: dict[str, float]


class _Stream:
    """The events of the calls of one `stream`, of which None wakes the thread that waits.

    `has_failed` is whether all further calls would fail, so that none is sent.
    """

    def __init__(self) -> None:
        self.events: SimpleQueue[tuple[_Call, Event | BaseException | None] | None] = SimpleQueue()
        self.has_failed = False

    def put(self, call: _Call, event: Event) -> None:
        call.has_events = True
        self.events.put((call, event))

    async def if_running(self, call: Coroutine[Any, Any, T]) -> T:
        if self.has_failed:
            call.close()
            raise Cancelled("not sent")
        return await call


def parameters_in(name: str) -> int:
    """Return the number of parameters that a model's name mentions, 0 if it mentions none.

    Example:
        >>> parameters_in("Qwen/Qwen3-30B-A3B"), parameters_in("smollm2:135m"), parameters_in("o3")
        (30000000000, 135000000, 0)
    """
    found = re.search(r"(?<![a-z0-9.])(\d+(?:\.\d+)?)([bm])(?![a-z0-9])", name.lower())
    return int(float(found[1]) * (10**9 if found[2] == "b" else 10**6)) if found else 0
