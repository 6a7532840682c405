"""The engine protocol, its requests and its events.

A `Request` asks for text; the engine answers with a stream of events: a `Token` for each piece of a
reply, then one `Finished` per choice, or one `Failed` if the request cannot be served. A
`ScoreRequest` asks for the probabilities of given continuations; the answer is `Scores`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Annotated, Literal, Protocol

import msgspec
from msgspec import Meta

from llmtool.errors import Cancelled, LlmtoolError
from llmtool.structured.constraint import Constraint

MAX_SEED = 2**32 - 2  # for llama.cpp 2^32-1 means a random seed
DEFAULT_MAX_TOKENS = 512
MAX_LOGPROBS = 100

Role = Literal["system", "user", "assistant"]
TokenKind = Literal["ordinary", "control", "unknown", "user"]
FinishReason = Literal["stop", "length"]
KVType = Literal["f16", "q8_0"]
OnProgress = Callable[[float, float], None]


class Cancellation:
    """A flag that stops an engine while it loads, between tokens and during a decode.

    `flag` is two bytes that native code reads as a C string, which is empty until `cancel`.
    """

    def __init__(self) -> None:
        self.flag = bytearray(2)
        self.reason: int | None = None

    def cancel(self, reason: int | None = None) -> None:
        """Request a stop; `reason` is the signal number, if a signal caused it."""
        self.reason = reason
        self.flag[0] = 1

    @property
    def cancelled(self) -> bool:
        return self.flag[0] != 0

    def reset(self) -> None:
        """Clear the flag, once the work has stopped."""
        self.reason = None
        self.flag[0] = 0

    def forget_signal(self) -> None:
        """Clear a stop that a signal requested, and leave one that the program requested."""
        if self.reason is not None:
            self.reset()

    def check(self) -> None:
        """Raise `Cancelled` if a stop was requested."""
        if self.cancelled:
            raise Cancelled("stopped before it was done", reason=self.reason)


class Message(msgspec.Struct, frozen=True):
    """One turn of a conversation. `content` is data: it never becomes a control token."""

    role: Role
    content: str


class Sampling(msgspec.Struct, frozen=True, kw_only=True):
    """How tokens are sampled: llama.cpp's sampler chain, in the order of the fields.

    `temperature` 0 is greedy; `top_k` 0, `top_p` 1, `min_p` 0 and `repeat_penalty` 1 disable a
    step; `repeat_last_n` -1 covers the whole reply. `dry_multiplier` penalizes a token that would
    extend a repetition in the reply, more the longer the repetition is beyond `dry_allowed_length`
    tokens; 0 disables it. `max_tokens` None allows up to `DEFAULT_MAX_TOKENS`, or fewer where the
    context ends; a number must fit. `seed` None picks a seed and reports it. A reply ends before
    the first of the `stop` strings and satisfies the `constraint`. `logprobs` is the number of
    alternatives to report with each token; 0 reports none.
    """

    repeat_penalty: Annotated[float, Meta(gt=0)] = 1.0
    repeat_last_n: Annotated[int, Meta(ge=-1)] = 64
    dry_multiplier: Annotated[float, Meta(ge=0)] = 0.0
    dry_base: Annotated[float, Meta(ge=1)] = 1.75
    dry_allowed_length: Annotated[int, Meta(ge=1)] = 2
    top_k: Annotated[int, Meta(ge=0)] = 40
    top_p: Annotated[float, Meta(ge=0, le=1)] = 0.95
    min_p: Annotated[float, Meta(ge=0, le=1)] = 0.05
    temperature: Annotated[float, Meta(ge=0, le=100)] = 0.8
    seed: Annotated[int, Meta(ge=0, le=MAX_SEED)] | None = None
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    stop: tuple[str, ...] = ()
    constraint: Constraint | None = None
    logprobs: Annotated[int, Meta(ge=0, le=MAX_LOGPROBS)] = 0


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation, or plain text to continue.

    Exactly one of `messages` and `text` is given. With a `suffix`, the reply goes between `text`
    and `suffix` (fill in the middle). `prefill` is the beginning of the reply, which the model
    continues. `thinking` turns reasoning on or off where the chat template supports it. `probe`,
    or `probe_text`, is the prompt as it would be for another input: what both begin with goes to
    the prefix cache. `n_fixed` gives the number of those tokens instead. `languages` are the codes
    of the source and target language, for chat templates that take them.
    """

    messages: tuple[Message, ...] = ()
    text: str | None = None
    suffix: str | None = None
    prefill: str = ""
    thinking: bool = False
    probe: tuple[Message, ...] = ()
    probe_text: str = ""
    n_fixed: int | None = None
    languages: tuple[str, str] | None = None


class FimTokens(msgspec.Struct, frozen=True, kw_only=True):
    """A model's control tokens for filling in the middle, by id."""

    prefix: int
    suffix: int
    middle: int


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A prompt, how to sample from it, and how many choices to return (choice i: seed + i).

    `keep` leaves prompt and reply in the context, for the next turn of a conversation.
    `cancellation` stops this request alone, which then fails with `Cancelled`.
    """

    prompt: Prompt
    sampling: Sampling = Sampling()
    n: Annotated[int, Meta(ge=1)] = 1
    keep: bool = False
    id: int = 0
    cancellation: Cancellation | None = None


class ScoreRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A prompt and the candidates that may follow it.

    `end` includes the probability that the reply ends after the candidate, which distinguishes
    `sport` from `sports`.
    """

    prompt: Prompt
    candidates: Annotated[tuple[str, ...], Meta(min_length=1)]
    end: bool = False
    id: int = 0
    cancellation: Cancellation | None = None


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Token counts: the prompt, the part of it that came from a cache, and the reply."""

    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int


class Timings(msgspec.Struct, frozen=True, kw_only=True):
    """Wall-clock seconds of one choice: its prefill, and its decoding after the first token.

    Sequences that are decoded together share their seconds. `first_token_at` is a
    `time.perf_counter()` value, which shows how choices overlap.
    """

    prefill_seconds: float
    decode_seconds: float
    first_token_at: float = 0.0


class TokenLogprob(msgspec.Struct, frozen=True, kw_only=True):
    """A token of a reply and the natural logarithm of its probability.

    The probability is the model's, before temperature, penalties and constraints. `top` holds the
    likeliest tokens at this position, likeliest first, each without a `top`. `bytes` are the
    token's bytes; `token` is their text, with U+FFFD for an incomplete character.
    """

    token: str
    bytes: tuple[int, ...]
    logprob: float
    top: tuple[TokenLogprob, ...] = ()


class Token(msgspec.Struct, frozen=True):
    """A piece of reply text, empty while a character or a stop string is incomplete.

    `reasoning` says that the text is reasoning and not part of the answer. `logprob` is present
    where it was requested: every token of the answer then has one event.
    """

    id: int
    choice: int
    text: str
    reasoning: bool = False
    logprob: TokenLogprob | None = None


class Finished(msgspec.Struct, frozen=True, kw_only=True):
    """The end of one choice, with the seed that was used."""

    id: int
    choice: int
    finish_reason: FinishReason
    usage: Usage
    timings: Timings
    seed: int


class Failed(msgspec.Struct, frozen=True):
    """A request that could not be served; the others continue."""

    id: int
    error: LlmtoolError


class Scores(msgspec.Struct, frozen=True, kw_only=True):
    """The log-probabilities of the candidates, in the order of the request.

    `logprobs` has one tuple per candidate: the natural logarithms of the probabilities of its
    tokens, each given those before it, and of the end if that was requested.
    """

    id: int
    logprobs: tuple[tuple[float, ...], ...]
    usage: Usage
    timings: Timings

    @property
    def totals(self) -> tuple[float, ...]:
        """The log-probability of each candidate as a whole; shape (n_candidates,)."""
        return tuple(sum(each) for each in self.logprobs)


Event = Token | Finished | Failed


class EngineInfo(msgspec.Struct, frozen=True, kw_only=True):
    """An engine's limits, its devices and the time it took to load.

    `n_ctx` is the limit of one request in tokens; `n_cells` is the size of the current context,
    which all sequences share.
    """

    n_ctx: int
    n_cells: int = 0
    n_ctx_train: int
    n_threads: int
    n_gpu_layers: int
    load_seconds: float
    context_seconds: float


class Tokenized(msgspec.Struct, frozen=True, kw_only=True):
    """A rendered prompt and its token ids, shape (n_tokens,).

    The first `n_fixed` tokens come from the template and are the same for any input.
    """

    text: str
    token_ids: tuple[int, ...]
    in_reasoning: bool = False
    n_fixed: int = 0


def common_prefix_length(sequences: Sequence[tuple[int, ...]]) -> int:
    """Return the length of the longest common prefix of all sequences.

    Example:
        >>> common_prefix_length([(1, 2, 3), (1, 2, 4), (1, 2)])
        2
    """
    shortest, longest = min(sequences), max(sequences)
    for i, item in enumerate(shortest):
        if i >= len(longest) or item != longest[i]:
            return i
    return len(shortest)


class Engine(Protocol):
    """A model that is ready to answer: one in llama.cpp, or a scripted one for tests."""

    @property
    def info(self) -> EngineInfo: ...

    def stream(self, requests: Iterable[Request | Failed | None]) -> Iterator[Event]:
        """Yield the events of requests that run together.

        Requests are read lazily, and the events of several interleave. None means that no request
        is available yet: the engine continues with those it has, and polls again. A `Failed` in
        `requests` is yielded unchanged, at once.
        """
        ...

    def score(self, requests: Iterable[ScoreRequest | Failed | None]) -> Iterator[Scores | Failed]:
        """Yield the scores of each request, in the order they finish."""
        ...

    def tokenize(self, prompt: Prompt) -> Tokenized: ...

    def check_length(self, n_prompt: int, max_tokens: int | None) -> tuple[int, int]:
        """Return (max_tokens, n_ctx) for a prompt of `n_prompt` tokens.

        Raises:
            ContextOverflow: prompt and reply do not fit.
        """
        ...

    def save_state(self, prompt: Prompt) -> None:
        """Save the state of a prompt's first `n_fixed` tokens to disk, if it is mostly there."""
        ...

    def close(self) -> None: ...
