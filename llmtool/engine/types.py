"""What goes into an engine and what comes out of it.

A `Request` asks for text; the engine answers with a stream of events: `Token` for every piece of a
reply, then one `Finished` per choice, or one `Failed` for a request that cannot be served. A
`ScoreRequest` asks how likely given continuations are, and is answered with `Scores`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Annotated, Literal, Protocol

import msgspec
from msgspec import Meta

from llmtool.errors import Cancelled, LlmtoolError
from llmtool.structured.constraint import Constraint

MAX_SEED = 2**32 - 2  # llama.cpp takes 2^32-1 for "choose one"
DEFAULT_MAX_TOKENS = 512
MAX_LOGPROBS = 100

Role = Literal["system", "user", "assistant"]
TokenKind = Literal["ordinary", "control", "unknown", "user"]
FinishReason = Literal["stop", "length"]
KVType = Literal["f16", "q8_0"]
OnProgress = Callable[[float, float], None]


class Cancellation:
    """A flag that stops an engine while it loads, between tokens and inside a decode.

    `flag` is one byte and a zero that native code can read as a C string: empty while the work
    may go on.
    """

    def __init__(self) -> None:
        self.flag = bytearray(2)
        self.reason: int | None = None

    def cancel(self, reason: int | None = None) -> None:
        """Ask for a stop; `reason` is the number of the signal, if one did it."""
        self.reason = reason
        self.flag[0] = 1

    @property
    def cancelled(self) -> bool:
        return self.flag[0] != 0

    def reset(self) -> None:
        """Take the stop back, when what it was for has stopped."""
        self.reason = None
        self.flag[0] = 0

    def forget_signal(self) -> None:
        """Take a signal's stop back, and leave one that the program asked for."""
        if self.reason is not None:
            self.reset()

    def check(self) -> None:
        """Raise `Cancelled` when a stop was asked for."""
        if self.cancelled:
            raise Cancelled("stopped before it was done", reason=self.reason)


class Message(msgspec.Struct, frozen=True):
    """One turn of a conversation. `content` is data: it never becomes a control token."""

    role: Role
    content: str


class Sampling(msgspec.Struct, frozen=True, kw_only=True):
    """How tokens are chosen. The chain is llama.cpp's own, applied in the order of the fields.

    `temperature` 0 is greedy; `top_k` 0, `top_p` 1, `min_p` 0 and `repeat_penalty` 1 switch a step
    off; `repeat_last_n` -1 penalizes what the whole reply has. `dry_multiplier` penalizes a token
    that would go on with a run that the reply has already, the more the longer the run is beyond
    `dry_allowed_length` tokens; 0 does not. `max_tokens` None means: up to `DEFAULT_MAX_TOKENS`,
    fewer where the context ends; a number must fit. `seed` None means: choose one and report it. A
    reply ends before the first of the `stop` strings, and keeps to the `constraint`. `logprobs` is
    the number of alternatives that every token is reported with; 0 reports none.
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
    """What a model is asked: a conversation, or plain text to go on with.

    Exactly one of `messages` and `text` is given. With a `suffix`, `text` is what stands before a
    gap and `suffix` what stands after it: the reply fills the gap. `prefill` is the beginning of
    the reply, which the model continues. `thinking` turns a model's reasoning on or off
    where its chat template can do that. `probe` are the messages, or `probe_text` the text, as they
    would be for another input: where the two begin alike, the prompt is worth keeping in the prefix
    cache. `n_fixed` says so outright: the prompt's first tokens that are worth it. `languages` are
    the codes of those that a text is translated from and to, for chat templates that ask for them.
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


class GapTokens(msgspec.Struct, frozen=True, kw_only=True):
    """A model's own control tokens around the parts of a text with a gap, by id."""

    before: int
    after: int
    gap: int


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A prompt, how to sample from it, and how many choices to make (choice i: seed + i).

    `keep` leaves prompt and reply in the memory, for the next request that begins like them: a
    conversation that goes on. `cancellation` stops this request alone, which then fails with
    `Cancelled`.
    """

    prompt: Prompt
    sampling: Sampling = Sampling()
    n: Annotated[int, Meta(ge=1)] = 1
    keep: bool = False
    id: int = 0
    cancellation: Cancellation | None = None


class ScoreRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A prompt and the texts that may follow it.

    `end` asks for the probability that the reply ends after each candidate as well, which keeps
    `sport` and `sports` apart.
    """

    prompt: Prompt
    candidates: Annotated[tuple[str, ...], Meta(min_length=1)]
    end: bool = False
    id: int = 0
    cancellation: Cancellation | None = None


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Token counts: of the prompt, of those the ones that were not computed anew, of the reply."""

    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int


class Timings(msgspec.Struct, frozen=True, kw_only=True):
    """Wall-clock seconds of one choice: its prefill, and its decoding after the first token.

    Sequences that are decoded together share their seconds. `first_token_at` is a
    `time.perf_counter()`, which tells how choices overlap.
    """

    prefill_seconds: float
    decode_seconds: float
    first_token_at: float = 0.0


class TokenLogprob(msgspec.Struct, frozen=True, kw_only=True):
    """A token of a reply and the natural logarithm of its probability.

    The probability is the model's own, before temperature, penalties and constraints. `top` holds
    the likeliest tokens at this place, likeliest first, each without a `top` of its own. `bytes`
    are what the token adds; `token` is their text, with U+FFFD for a part of a character.
    """

    token: str
    bytes: tuple[int, ...]
    logprob: float
    top: tuple[TokenLogprob, ...] = ()


class Token(msgspec.Struct, frozen=True):
    """A piece of reply text, which may be empty while a character or a stop string is undecided.

    `reasoning` says that the text is reasoning and not part of the answer. `logprob` is present
    where it was requested: every token of the answer then comes with one event.
    """

    id: int
    choice: int
    text: str
    reasoning: bool = False
    logprob: TokenLogprob | None = None


class Finished(msgspec.Struct, frozen=True, kw_only=True):
    """The end of one choice. `seed` is the one that was used."""

    id: int
    choice: int
    finish_reason: FinishReason
    usage: Usage
    timings: Timings
    seed: int


class Failed(msgspec.Struct, frozen=True):
    """A request that could not be served; the others go on."""

    id: int
    error: LlmtoolError


class Scores(msgspec.Struct, frozen=True, kw_only=True):
    """How likely each candidate is after the prompt, in the order of the request.

    `logprobs` has one tuple per candidate: the natural logarithms of the probabilities of its
    tokens, each given those before it, and of the end if that was asked for.
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
    """What an engine runs on, and what it cost to get there.

    `n_ctx` is what one request may use; `n_cells` are the tokens that its memory holds at present,
    of all sequences together.
    """

    n_ctx: int
    n_cells: int = 0
    n_ctx_train: int
    n_threads: int
    n_gpu_layers: int
    load_seconds: float
    context_seconds: float


class Tokenized(msgspec.Struct, frozen=True, kw_only=True):
    """A prompt as the model sees it: the rendered text and its token ids, shape (n_tokens,).

    The first `n_fixed` tokens are the template's, whatever the input.
    """

    text: str
    token_ids: tuple[int, ...]
    in_reasoning: bool = False
    n_fixed: int = 0


def common_prefix_length(sequences: Sequence[tuple[int, ...]]) -> int:
    """Return how many first items all sequences share.

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
    """A model that is ready to answer: llama.cpp, or a scripted one for tests."""

    @property
    def info(self) -> EngineInfo: ...

    def stream(self, requests: Iterable[Request | Failed | None]) -> Iterator[Event]:
        """Answer requests with events.

        Requests are pulled lazily and answered together, so that events of several interleave.
        None says that the next request is not there yet: the engine goes on with those that it
        has, and asks again. A `Failed` among them comes back as it is, at once.
        """
        ...

    def score(self, requests: Iterable[ScoreRequest | Failed | None]) -> Iterator[Scores | Failed]:
        """Say how likely the candidates of each request are, in the order they are done."""
        ...

    def tokenize(self, prompt: Prompt) -> Tokenized: ...

    def fit(self, n_prompt: int, max_tokens: int | None) -> tuple[int, int]:
        """Return (max_tokens, n_ctx) for `n_prompt` tokens, or raise `ContextOverflow`."""
        ...

    def remember(self, prompt: Prompt) -> None:
        """Put the state of a prompt's first `n_fixed` tokens on disk, if most of it is there."""
        ...

    def close(self) -> None: ...
