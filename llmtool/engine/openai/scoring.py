"""Score candidates by the log-probabilities that a server returns.

Exact where the server scores given tokens: as a prompt that it echoes, or one after the other.
Otherwise by the most likely tokens of a reply, which may not have all candidates.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Protocol, TypeVar

import msgspec

from llmtool.engine.openai.bodies import make_body
from llmtool.engine.openai.capabilities import (
    Features,
    ServedModel,
    ServerInfo,
    try_fetch,
)
from llmtool.engine.openai.connection import Connection
from llmtool.engine.openai.endpoint import Endpoint
from llmtool.engine.openai.errors import Fatal, invalid_reply
from llmtool.engine.openai.ollama import OllamaApi
from llmtool.engine.openai.replies import ReplyReader, check_model
from llmtool.engine.openai.tokens import TokenCounter
from llmtool.engine.types import (
    Finished,
    Message,
    Prompt,
    Request,
    Sampling,
    ScoreRequest,
    Scores,
    Timings,
    Token,
    TokenLogprob,
    Usage,
)
from llmtool.errors import OutputValidationError, UsageError

_N_TOP = 20  # tokens; hosted servers report no more
_MAX_STEPS = 16  # tokens of a reply in which candidates differ
_MIN_COVERAGE = 0.01
_N_PROBS = 200  # of llama-server's first answer, which has most labels
_FORCE = 1e6  # a bias that makes a token certain
_EVERY = 1_000_000  # at least as many tokens as a vocabulary has

Tokens = tuple[int, ...]


class _Answer(msgspec.Struct):
    model: str | None = None


A = TypeVar("A", bound=_Answer)


class _EchoedTokens(msgspec.Struct):
    token_logprobs: list[float | None]


class _EchoedPrompt(msgspec.Struct):
    logprobs: _EchoedTokens
    index: int = 0


class _Echo(_Answer, kw_only=True):
    choices: list[_EchoedPrompt]


class _Probability(msgspec.Struct):
    id: int
    logprob: float
    top_logprobs: list[_Probability] = []


class _ScoredUsage(msgspec.Struct):
    prompt_tokens: int
    completion_tokens: int
    prompt_tokens_details: dict[str, int] = {}


class _Scored(_Answer, kw_only=True):
    logprobs: tuple[tuple[float | None, ...], ...]  # JSON has no infinity
    usage: _ScoredUsage


class _Completion(_Answer, kw_only=True):
    completion_probabilities: list[_Probability] = []


# From a prompt and its continuations to the log-probability of each of their tokens.
LogprobsOf = Callable[[Tokens, Sequence[Tokens]], Awaitable[list[tuple[float, ...]]]]


class Scorer(Protocol):
    """A way to score candidates."""

    async def score(self, request: ScoreRequest) -> Scores:
        """Return the scores of a request.

        Raises:
            LlmtoolError, Retryable, Fatal: the request failed.
        """
        ...


async def choose_scorer(
    connection: Connection,
    server: ServerInfo,
    model: ServedModel,
    tokens: TokenCounter,
    ollama: OllamaApi | None = None,
) -> Scorer:
    """Return the most exact way in which a server can score candidates."""
    way = server.features.scoring
    if way == "scores":
        return ServerScorer(connection, model, tokens)
    if way == "top-k" or not await tokens.check():
        return TopScorer(connection, server, model, ollama)
    if way == "echo":
        return ExactScorer(EchoedPrompts(connection, model.name), server, tokens)
    n_slots = (await try_fetch(connection, "/props")).get("total_slots")
    walk = NextTokens(connection, model.name, n_slots if isinstance(n_slots, int) else 1)
    return ExactScorer(walk, server, tokens)


class ServerScorer:
    """Has a request scored by the engine of `llmtool serve`."""

    def __init__(self, connection: Connection, model: ServedModel, tokens: TokenCounter) -> None:
        self._connection, self._model, self._tokens = connection, model, tokens

    async def score(self, request: ScoreRequest) -> Scores:
        started = time.perf_counter()
        connection, prompt = self._connection, request.prompt
        asked = {"prompt": prompt.text + prompt.prefill} if prompt.text is not None else None
        body = {
            "model": self._model.name,
            **(asked or self._tokens.chat_fields(prompt)),
            "candidates": request.candidates,
            "end": request.end,
        }
        url = f"{connection.endpoint.base_url}/scores"
        document = await connection.fetch("POST", url, body, model=self._model.name, is_short=False)
        found = _read(connection, document, _Scored, asked=self._model.name)
        if len(found.logprobs) != len(request.candidates):
            raise invalid_reply(connection.endpoint, "no log-probability of a candidate")
        details = found.usage.prompt_tokens_details
        return Scores(
            id=request.id,
            logprobs=tuple(
                tuple(-math.inf if value is None else value for value in row)
                for row in found.logprobs
            ),
            usage=Usage(
                prompt_tokens=found.usage.prompt_tokens,
                cached_tokens=details.get("cached_tokens", 0),
                completion_tokens=found.usage.completion_tokens,
            ),
            timings=Timings(prefill_seconds=time.perf_counter() - started, decode_seconds=0.0),
        )


class ExactScorer:
    """Scores the tokens of candidates that continue the tokens of a prompt."""

    def __init__(self, logprobs: LogprobsOf, server: ServerInfo, tokens: TokenCounter) -> None:
        self._logprobs, self._tokens = logprobs, tokens
        self._is_template = server.features.thinking == "template"

    async def score(self, request: ScoreRequest) -> Scores:
        started = time.perf_counter()
        prompt = request.prompt
        if self._is_template and prompt.thinking is None:  # labels follow no reasoning
            prompt = msgspec.structs.replace(prompt, thinking=False)
        ids = (await self._tokens.tokenize(prompt)).token_ids
        candidates = [await self._tokens.continuation(text) for text in request.candidates]
        if not all(candidates):
            raise UsageError("a candidate is empty")
        ends = await self._tokens.end_ids() if request.end else ()
        tails = list(
            dict.fromkeys(
                tail
                for each in candidates
                for tail in ([(*each, end) for end in ends] if ends else [each])
            )
        )
        found = dict(zip(tails, await self._logprobs(ids, tails), strict=True))

        def of(candidate: Tokens) -> tuple[float, ...]:
            if not ends:
                return found[candidate]
            rows = [found[(*candidate, end)] for end in ends]
            return (*rows[0][:-1], _log_sum(row[-1] for row in rows))

        seconds = time.perf_counter() - started
        return Scores(
            id=request.id,
            logprobs=tuple(map(of, candidates)),
            usage=Usage(
                prompt_tokens=len(ids),
                cached_tokens=0,
                completion_tokens=sum(map(len, candidates)),
            ),
            timings=Timings(prefill_seconds=seconds, decode_seconds=0.0),
        )


class EchoedPrompts:
    """Scores continuations as prompts whose log-probabilities are echoed: vLLM."""

    def __init__(self, connection: Connection, model: str) -> None:
        self._connection, self._model = connection, model

    async def __call__(self, ids: Tokens, tails: Sequence[Tokens]) -> list[tuple[float, ...]]:
        connection = self._connection
        body = {
            "model": self._model,
            "prompt": [[*ids, *tail] for tail in tails],
            "echo": True,
            "logprobs": 1,
            "max_tokens": 0,
            "temperature": 0,
        }
        url = f"{connection.endpoint.base_url}/completions"
        document = await connection.fetch("POST", url, body, model=self._model, is_short=False)
        choices = sorted(
            _read(connection, document, _Echo, asked=self._model).choices,
            key=lambda each: each.index,
        )
        rows = [each.logprobs.token_logprobs[len(ids) :] for each in choices]
        found = [
            tuple(each for each in row[: len(tail)] if each is not None)
            for row, tail in zip(rows, tails, strict=False)
        ]
        if [*map(len, found)] != [*map(len, tails)]:
            raise invalid_reply(connection.endpoint, "no log-probability of a token")
        return found


class NextTokens:
    """Scores continuations token by token, with those that they share only once: llama-server.

    One at a time in each slot of the server, so that each continues the cache of the one before it.
    """

    def __init__(self, connection: Connection, model: str, n_slots: int) -> None:
        self._connection, self._model = connection, model
        self._slots = asyncio.Semaphore(max(1, n_slots))

    async def __call__(self, ids: Tokens, tails: Sequence[Tokens]) -> list[tuple[float, ...]]:
        wanted: dict[Tokens, set[int]] = {}
        for tail in sorted(tails):
            for i, token in enumerate(tail):
                wanted.setdefault(tail[:i], set()).add(token)
        async with self._slots:
            found = {
                path: await self._logprobs_after((*ids, *path), each)
                for path, each in wanted.items()
            }
        return [tuple(found[tail[:i]][token] for i, token in enumerate(tail)) for tail in tails]

    async def _logprobs_after(self, ids: Tokens, wanted: set[int]) -> dict[int, float]:
        """Return the log-probabilities of tokens after others.

        The server reports the most likely tokens, and the one that it samples. None is reported if
        the sampled one is a part of a character, so the last attempt asks for all tokens.
        """
        found = await self._ask(ids, _N_PROBS)
        for token in wanted:
            if token not in found:
                found |= await self._ask(ids, 1, forced=token)
        if not wanted <= found.keys():
            found |= await self._ask(ids, _EVERY, forced=ids[0])
        if not wanted <= found.keys():
            raise invalid_reply(self._connection.endpoint, "no log-probability of a token")
        return {token: found[token] for token in wanted}

    async def _ask(self, ids: Tokens, n_probs: int, forced: int | None = None) -> dict[int, float]:
        connection = self._connection
        body = {
            "model": self._model,
            "prompt": list(ids),
            "n_predict": 1,
            "n_probs": n_probs,
            "temperature": 0,
            "cache_prompt": True,
            **({} if forced is None else {"logit_bias": [[forced, _FORCE]]}),
        }
        url = f"{connection.endpoint.root}/completion"
        document = await connection.fetch("POST", url, body, model=self._model, is_short=False)
        steps = _read(
            connection, document, _Completion, asked=self._model
        ).completion_probabilities[:1]
        return {each.id: each.logprob for step in steps for each in (step, *step.top_logprobs)}


class TopScorer:
    """Scores candidates by the most likely tokens of a reply.

    A token counts for the only candidate that it can begin. Where the reply itself can be several,
    the alternatives to its next token count as well.
    """

    def __init__(
        self,
        connection: Connection,
        server: ServerInfo,
        model: ServedModel,
        ollama: OllamaApi | None,
    ) -> None:
        self._connection, self._server, self._model = connection, server, model
        self._ollama = ollama

    async def score(self, request: ScoreRequest) -> Scores:
        connection, endpoint = self._connection, self._connection.endpoint
        features = self._server.features
        asked = label_request(request, features)
        body = make_body(
            asked,
            endpoint=endpoint,
            features=features,
            model=self._model.name,
            seed=0,
            stream=False,
        )
        read: Callable[[bytes], bytes] = bytes
        if self._ollama is not None:
            body, read = self._ollama.convert(body, asked)
        reader = ReplyReader(asked, endpoint=endpoint, model=self._model.name, seed=0)
        tokens: list[Token] = []
        async for data in connection.events(
            body.path, body.document, model=self._model.name, has_begun=lambda: reader.has_begun
        ):
            tokens += reader.add(read(data))
        check_model(endpoint, self._model.name, reader.answered_by)
        *_, end = reader.finish()
        assert isinstance(end, Finished)
        return label_scores(request, tokens, end, endpoint)


def label_request(request: ScoreRequest, features: Features) -> Request:
    """Return the request for a reply whose likely tokens score the candidates."""
    names = [text.strip() for text in request.candidates]
    sampling = Sampling(
        temperature=0, max_tokens=_n_steps(names), logprobs=_N_TOP, top_k=0, min_p=0.0
    )
    prompt = _as_chat(request.prompt, names, features)
    return Request(id=request.id, prompt=prompt, sampling=sampling)


def label_scores(
    request: ScoreRequest, tokens: Sequence[Token], end: Finished, endpoint: Endpoint
) -> Scores:
    """Return the scores of candidates from the tokens of a reply to `label_request`.

    Raises:
        Fatal: it has no log-probabilities.
        OutputValidationError: too few of the likely tokens are candidates.
    """
    names = [text.strip() for text in request.candidates]
    steps = [each.logprob for each in tokens if each.logprob is not None]
    has_text = any(each.text for each in tokens)
    if has_text and not any(step.top for step in steps):
        raise Fatal(
            UsageError(
                f"{endpoint.name}: the server reports no log-probabilities, by which labels "
                "are scored; use a local model, or llmtool serve, llama-server or vLLM"
            )
        )
    masses = spread(names, steps)
    covered = math.fsum(masses.of)
    if masses.ambiguous > max(covered, _MIN_COVERAGE):
        raise OutputValidationError(
            f"{endpoint.name}: the first tokens of the labels are the same in too many of the "
            f"likely replies ({masses.ambiguous:.0%}); choose labels that begin differently"
        )
    if covered < max(_MIN_COVERAGE, masses.least * masses.of.count(0.0)):
        raise OutputValidationError(
            f"{endpoint.name}: only {covered:.0%} of the likely replies are labels, too few to "
            "compare them; name the labels in the prompt, or use an exact server, such as "
            "llmtool serve, llama-server or vLLM"
        )
    return Scores(
        id=request.id,
        logprobs=tuple((math.log(max(mass, masses.least)),) for mass in masses.of),
        usage=end.usage,
        timings=end.timings,
        method="top-k",
    )


def _as_chat(prompt: Prompt, names: Sequence[str], features: Features) -> Prompt:
    """Return a prompt that a chat model answers with a label.

    Chat models do not continue texts, and labels that they are not asked for are unlikely.
    """
    if features.thinking == "think" and prompt.thinking is None:  # labels follow no reasoning
        prompt = msgspec.structs.replace(prompt, thinking=False)
    if prompt.text is not None:
        question = f"Reply with one of these labels, and nothing else: {', '.join(names)}"
        text = f"{question}\n\n{prompt.text}{prompt.prefill}"
        return Prompt(messages=(Message("user", text),), thinking=prompt.thinking)
    if features.prefill not in ("message", "flags"):
        prompt = msgspec.structs.replace(prompt, prefill="")
    return prompt


class Masses(msgspec.Struct, frozen=True):
    """The probability of each candidate, of what could be several, and of the least likely token.

    No candidate that was not found can be more likely than `least`.
    """

    of: list[float]
    ambiguous: float
    least: float


def spread(names: Sequence[str], steps: Sequence[TokenLogprob]) -> Masses:
    """Return how probable candidates are, by the tokens of a reply and their alternatives.

    Upper and lower case is the same unless it distinguishes candidates.

    Example:
        >>> import math
        >>> from llmtool.engine.types import TokenLogprob
        >>> def token(text, p, *top):
        ...     return TokenLogprob(token=text, bytes=(), logprob=math.log(p), top=top)
        >>> first = token("Pos", 0.7, token("Pos", 0.7), token("neg", 0.2), token("The", 0.1))
        >>> [round(mass, 2) for mass in spread(["positive", "negative"], [first]).of]
        [0.7, 0.2]
    """
    fold = str.casefold if len(set(map(str.casefold, names))) == len(set(names)) else str
    folded = [fold(name) for name in names]
    masses = [0.0] * len(names)
    ambiguous, before, weight, least = 0.0, "", 1.0, 1e-9
    for number, step in enumerate(steps):
        found = {each.token: each for each in (*step.top, step)}
        if number == 0:
            least = max(least, min(_probability(each) for each in found.values()))
        is_open = False
        for text, each in found.items():
            mass = weight * _probability(each)
            matches = _matches(folded, fold(before + text).lstrip())
            if len(matches) == 1:
                masses[matches[0]] += mass
            elif matches and text == step.token and number + 1 < len(steps):
                is_open = True
            elif matches:
                ambiguous += mass
        if not is_open:
            break
        before, weight = before + step.token, weight * _probability(step)
    return Masses(masses, ambiguous, least)


def _matches(names: Sequence[str], text: str) -> list[int]:
    """Return the candidates that a reply can be that begins with a text.

    Example:
        >>> names = ["sport", "sports"]
        >>> _matches(names, "spo"), _matches(names, "sports"), _matches(names, "sport.")
        ([0, 1], [1], [0])
    """
    return [
        i
        for i, name in enumerate(names)
        if name.startswith(text) or (text.startswith(name) and not text[len(name)].isalnum())
    ]


def _n_steps(names: Sequence[str]) -> int:
    """Return how many tokens a reply needs until it is one of several candidates."""
    if len({name[:1].casefold() for name in names}) == len(names):
        return 1
    return min(_MAX_STEPS, max(map(len, names)) + 1)


def _probability(token: TokenLogprob) -> float:
    return 0.0 if token.logprob is None else math.exp(min(0.0, token.logprob))


def _log_sum(values: Iterable[float]) -> float:
    total = math.fsum(map(math.exp, values))
    return math.log(total) if total else -math.inf


def _read(connection: Connection, document: object, kind: type[A], *, asked: str) -> A:
    try:
        found = msgspec.convert(document, kind)
    except msgspec.ValidationError as exc:
        raise invalid_reply(connection.endpoint, f"log-probabilities: {exc}") from None
    check_model(connection.endpoint, asked, found.model)
    return found
