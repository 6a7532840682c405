"""Convert engine events to results: tokens as they arrive, and a `Generation` per request."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, nullcontext
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from llmtool.engine.types import (
    MAX_SEED,
    Effort,
    Engine,
    EngineInfo,
    Failed,
    Finished,
    Message,
    Prompt,
    Request,
    ScoreRequest,
    Scores,
    Token,
    TokenLogprob,
    Usage,
)
from llmtool.errors import Cancelled, EngineError, OutputValidationError
from llmtool.option_names import option
from llmtool.sizes import format_count
from llmtool.tasks.pipeline.duplicates import answer_once, request_key
from llmtool.tasks.pipeline.ordering import OrderedResults, closing_stream
from llmtool.tasks.pipeline.token_logprobs import tokens_of
from llmtool.tasks.results import Choice, Generation, Timing, total_usage

if TYPE_CHECKING:
    from llmtool.prompts.schema import Abstain
    from llmtool.structured.compact_json import CompactJson
    from llmtool.tasks.pipeline.abstention import AbstentionScores
    from llmtool.tasks.pipeline.output_spec import OutputSpec


class GroundedRequest(Request, frozen=True, kw_only=True):
    """A request whose reply inputs must support; `baselines` are the prompts without each."""

    abstain: Abstain
    baselines: tuple[Prompt, ...]


def no_answer() -> str:
    return f"the model reasoned but gave no answer; raise {option('max_tokens')}"


E = TypeVar("E")
R = TypeVar("R")


def map_texts(
    texts: str | Iterable[Any], run: Callable[[Iterable[Any]], Iterator[R]]
) -> R | Iterator[R] | list[R]:
    """Return one result for a text, a list for a sequence, or an iterator for an iterator.

    Example:
        >>> def run(texts): return (text.upper() for text in texts)
        >>> map_texts("a", run), map_texts(["a", "b"], run)
        ('A', ['A', 'B'])
    """
    if isinstance(texts, str):
        return next(run([texts]))
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
    retries: int = 0,
    compact: bool = False,
) -> Generator[Token | Generation | Failed, None, None]:
    """Run requests in one engine stream; yield tokens as they arrive, and outcomes in order.

    Requests are read as the engine needs them, so there can be any number; their ids must differ.
    A request that fails, or whose reply is invalid, yields a `Failed`. Equal requests whose reply
    is not random are answered once. `started` is the `time.perf_counter()` from which `seconds`
    counts, by default the time when each request is read. After a stop, complete replies are still
    yielded, and a `Failed` for each other request, before `Cancelled` is raised.

    An invalid reply is requested again up to `retries` times, with the error in the conversation;
    its tokens are then yielded only when the last try is complete.

    With `compact`, the white space between the values of valid JSON is omitted from the text.
    """

    def run(
        requests: Iterator[Request | Failed | None],
    ) -> Generator[Token | Generation | Failed, None, None]:
        return _stream(engine, requests, model, output_spec, started, retries, compact)

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
    model: str,
    output_spec: OutputSpec | None,
    started: float | None,
    retries: int,
    compact: bool,
) -> Generator[Token | Generation | Failed, None, None]:
    results = OrderedResults[Request, _Answer](
        requests, lambda request: _Answer(request, output_spec, started, retries, compact)
    )
    again: deque[Request | ScoreRequest] = deque()

    def new_and_repeated() -> Iterator[Request | ScoreRequest | Failed | None]:
        may_repeat = retries > 0
        for request in results.requests():
            while again:
                yield again.popleft()
            may_repeat = may_repeat or isinstance(request, GroundedRequest)
            yield request
        while may_repeat and results:
            yield again.popleft() if again else None

    with closing_stream(engine.stream(new_and_repeated())) as events:
        try:
            for event in events:
                if isinstance(event, Token):
                    answer = results.answer(event.id)
                    token = answer.take(event)
                    if not answer.is_held:
                        yield token
                elif isinstance(event, Failed):
                    found = results.find(event.id)
                    if found is None or not found.give_up():
                        results.fail(event)
                else:
                    answer = results.answer(event.id)
                    again.extend(answer.end(event))
                    if answer.is_held and answer.is_complete:
                        yield from answer.tokens()
                for done in results.pop_complete():
                    yield done if isinstance(done, Failed) else done.outcome(engine, model)
        except Cancelled as exc:
            for done in results.cancel(exc):
                yield done if isinstance(done, Failed) else done.outcome(engine, model)
            raise
        if results:
            raise EngineError("the model was closed before all replies were complete")


class _Answer:
    """The events of one request so far, and of the requests that repeat it.

    Invalid replies are requested again one after another, with the id of the first request, and
    then replies to a `GroundedRequest` are scored. Until then their tokens are held.
    """

    def __init__(
        self,
        request: Request,
        output_spec: OutputSpec | None,
        started: float | None,
        retries: int,
        compact: bool,
    ) -> None:
        self._request, self._output_spec, self._retries = request, output_spec, retries
        self._compact = compact
        self._started = time.perf_counter() if started is None else started
        self._first_token: float | None = None
        self._seconds = 0.0
        self._choices = [[_Try(compact)] for _ in range(request.n)]
        self._repeated: int | None = None  # the choice that was requested again last
        self._rounds: list[list[Finished]] = [[]]
        self._grounding: AbstentionScores | None = None
        if isinstance(request, GroundedRequest):
            from llmtool.tasks.pipeline.abstention import AbstentionScores

            self._grounding = AbstentionScores(
                request.id, request.abstain, (request.prompt, *request.baselines)
            )
        self.is_held = retries > 0 or self._grounding is not None
        self.is_complete = False

    def take(self, token: Token) -> Token:
        """Add a token, and return it with the text that the result has."""
        if self._first_token is None and token.prompt_logprob is None:
            self._first_token = time.perf_counter() - self._started
        choice = token.choice if self._repeated is None else self._repeated
        if choice != token.choice:
            token = msgspec.structs.replace(token, choice=choice)
        return self._choices[choice][-1].add(token)

    def end(self, event: Finished | Scores) -> Iterator[Request | ScoreRequest]:
        """Add the end of a reply or its scores; yield the next request, if one is needed."""
        if isinstance(event, Scores):
            assert self._grounding is not None
            yield from self._grounding.add(event)
            self._seconds = time.perf_counter() - self._started
            self.is_complete = self._grounding.is_complete
            return
        choice = event.choice if self._repeated is None else self._repeated
        self._choices[choice][-1].check(event, self._output_spec)
        self._rounds[-1].append(event)
        self._seconds = time.perf_counter() - self._started
        if any(tries[-1].end is None for tries in self._choices):
            return
        for i, tries in enumerate(self._choices):
            if tries[-1].error is not None and len(tries) <= self._retries:
                yield _repeat(self._request, tries[-1])
                self._repeated = i
                self._rounds.append([])
                tries.append(_Try(self._compact))
                return
        if self._grounding is not None:
            yield from self._grounding.start([tries[-1].text for tries in self._choices])
            self.is_complete = self._grounding.is_complete
            return
        self.is_complete = True

    def give_up(self) -> bool:
        """Use the last complete try of each choice; return whether there is one."""
        if self._repeated is None:
            return False
        self._choices[self._repeated].pop()
        self._rounds.pop()
        self.is_complete = True
        return True

    def tokens(self) -> Iterator[Token]:
        for index, tries in enumerate(self._choices):
            tokens = tries[-1].tokens
            grounding = self._grounding
            if grounding is None or not grounding.judge(tries[-1].text).abstained:
                yield from tokens
                continue
            yield from (token for token in tokens if token.reasoning)
            yield Token(self._request.id, index, grounding.fixed_reply)

    def _checked(self, choice: Choice) -> Choice:
        """Return a choice with its score, and with the fixed reply if that is better."""
        if self._grounding is None:
            return choice
        abstention = self._grounding.judge(choice.text)
        choice = msgspec.structs.replace(choice, abstention=abstention)
        if not abstention.abstained:
            return choice
        return msgspec.structs.replace(
            choice, text=self._grounding.fixed_reply, finish_reason="stop", logprobs=None
        )

    def _usages(self) -> Iterator[Usage]:
        """Yield the token counts of each request."""
        yield from map(_usage, self._rounds)
        if self._grounding is not None:
            yield from (scores.usage for scores in self._grounding.scores)

    def outcome(self, engine: Engine, model: str) -> Generation | Failed:
        """Return the result, or the error of an invalid reply."""
        logprobs = self._request.sampling.logprobs > 0
        choices = tuple(
            self._checked(tries[-1].choice(len(tries), logprobs=logprobs))
            for tries in self._choices
        )
        ends = [tries[-1].end for tries in self._choices]
        complete = [end for end in ends if end is not None]
        first = choices[0]
        generation = Generation(
            text=first.text,
            value=first.value,
            choices=choices,
            model=model,
            usage=total_usage(self._usages()),
            seconds=self._seconds,
            timing=_timing(engine, self._rounds, self._seconds, self._first_token),
            finish_reason=first.finish_reason,
            seed=first.seed,
            tries=first.tries,
            warnings=tuple(_warnings(engine, self._request, complete, choices, self._output_spec)),
            prompt_logprobs=self._choices[0][0].prompt_logprobs if self._request.echo else None,
        )
        error = _validation_error(generation)
        return generation if error is None else Failed(self._request.id, error)


class _Try:
    """The tokens of one reply so far; `value` and `error` are the result of its check.

    `text` is as the model wrote it; the tokens omit white space of JSON if they are compact.
    """

    def __init__(self, compact: bool) -> None:
        self.tokens: list[Token] = []
        self._written: list[str] = []
        self._json: CompactJson | None = None
        if compact:
            from llmtool.structured.compact_json import CompactJson

            self._json = CompactJson()
        self.end: Finished | None = None
        self.value: Any = None
        self.error: str | None = None

    @property
    def text(self) -> str:
        return "".join(self._written)

    def add(self, token: Token) -> Token:
        self._written.append(token.text)
        if self._json is not None and token.text:
            token = msgspec.structs.replace(token, text=self._json.push(token.text))
        self.tokens.append(token)
        return token

    @property
    def prompt_logprobs(self) -> tuple[TokenLogprob, ...]:
        return tuple(t.prompt_logprob for t in self.tokens if t.prompt_logprob is not None)

    def check(self, end: Finished, output_spec: OutputSpec | None) -> None:
        self.end = end
        if output_spec is not None:
            try:
                self.value = output_spec.check(self.text, end)
            except OutputValidationError as exc:
                self.error = str(exc)

    def choice(self, n_tries: int, *, logprobs: bool) -> Choice:
        assert self.end is not None
        found = [token.logprob for token in self.tokens if token.logprob is not None]
        return Choice(
            text=self.text if self.error else "".join(token.text for token in self.tokens),
            value=self.value,
            error=self.error,
            reasoning="".join(token.reasoning for token in self.tokens) or None,
            finish_reason=self.end.finish_reason,
            seed=self.end.seed,
            tries=n_tries,
            logprobs=tokens_of(self.text, found) if logprobs else None,
        )


def _repeat(request: Request, invalid: _Try) -> Request:
    """Return a request for another reply, with the invalid one and its error before it."""
    problem = invalid.error
    if invalid.end is not None and invalid.end.finish_reason == "length":
        problem = f"it is longer than {invalid.end.usage.completion_tokens} tokens"
    ask = f"This reply is invalid: {problem}. Write the corrected reply, and nothing else."
    prompt, text = request.prompt, request.prompt.prefill + invalid.text
    if prompt.text is None:
        more = (Message("assistant", text), Message("user", ask))
        prompt = msgspec.structs.replace(prompt, messages=(*prompt.messages, *more))
    else:
        prompt = msgspec.structs.replace(prompt, text=f"{prompt.text}{text}\n\n{ask}\n\n")
    return msgspec.structs.replace(request, prompt=prompt, n=1, echo=False)


def _usage(ends: list[Finished]) -> Usage:
    """Return the token counts of replies to one request, which share its prompt."""
    total, first = total_usage(end.usage for end in ends), ends[0].usage
    return msgspec.structs.replace(
        total, prompt_tokens=first.prompt_tokens, cached_tokens=first.cached_tokens
    )


def _validation_error(generation: Generation) -> OutputValidationError | None:
    invalid = [(i, each) for i, each in enumerate(generation.choices, 1) if each.error]
    if not invalid:
        return None
    number, choice = invalid[0]
    n = len(generation.choices)
    tries = f" (after {choice.tries} tries)" if choice.tries > 1 else ""
    error = f"{choice.error}{tries}"
    if n > 1:
        error = f"{len(invalid)} of {n} replies are invalid; reply {number}: {error}"
    return OutputValidationError(error, result=generation)


def _timing(
    engine: Engine, rounds: list[list[Finished]], seconds: float, first_token: float | None
) -> Timing:
    info = engine.info
    prefill = decode = 0.0
    for ends in rounds:
        timings = [end.timings for end in ends]
        prefill += sum(each.prefill_seconds for each in timings)
        # Choices are decoded together, so their times overlap.
        decode += max(each.first_token_at + each.decode_seconds for each in timings)
        decode -= min(each.first_token_at for each in timings)
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
    cut = [] if request.sampling.max_tokens == 0 else cut
    if cut:
        used = cut[0].usage.completion_tokens
        which = f"{len(cut)} of {len(ends)} replies" if len(ends) > 1 else "reply"
        yield f"{which} truncated at {format_count(used, 'token')}; raise {option('max_tokens')}"
    if n_cut := max(end.cut_reasoning_tokens for end in ends):
        yield (
            f"reasoning ended after {n_cut} tokens; "
            f"raise {option('think_tokens')} or {option('max_tokens')}"
        )
    if any(end.ended_repetition for end in ends):
        yield "the model repeated itself; a list or string of the reply was ended early"
    if any(each.reasoning and not each.text for each in choices):
        yield no_answer()
    if n_repeated := sum(each.tries > 1 and not each.error for each in choices):
        which = f"{n_repeated} of {len(ends)} replies" if len(ends) > 1 else "reply"
        yield f"{which} valid only after a retry"
    if output_spec is not None and output_spec.unenforced:
        yield f"not enforced while decoding, only checked afterwards: {output_spec.unenforced}"
    think_tokens = request.sampling.think_tokens
    yield from reasoning_warnings(engine, request.prompt.thinking, think_tokens)
    prompt = request.prompt
    yield from model_warnings(engine.info, instructs=prompt.text is None and not prompt.continues)


def reasoning_warnings(
    engine: Engine, thinking: bool | Effort | None, think_tokens: int | None
) -> Iterator[str]:
    """Yield a warning if an option for reasoning has no effect on the chat template.

    A model whose template has reasoning tags may always reason, and they end its reasoning at once.
    """
    if thinking is None and not think_tokens:
        return
    support = engine.reasoning_support
    if support.has_variables or support.has_tags:
        return
    is_length = thinking is not False and think_tokens
    given = option("think_tokens") if is_length else option("thinking", thinking is not False)
    yield f"{given} has no effect: this model's chat template has no reasoning variable"


def model_warnings(info: EngineInfo, *, instructs: bool) -> Iterator[str]:
    """Yield a warning if a base model gets an instruction, or the context is too long for it."""
    if instructs and not info.has_chat_template:
        yield (
            "this is a base model (it has no chat template), which may ignore instructions; "
            "use an instruction-tuned model"
        )
    if info.n_ctx > info.n_ctx_train:
        yield (
            f"the context of {info.n_ctx:,} tokens is longer than the {info.n_ctx_train:,} that "
            "the model was trained with; quality may suffer"
        )
