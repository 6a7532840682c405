"""What goes into an engine and what comes out of it.

A `Request` asks for text; the engine answers with a stream of events: `Token` for every piece of a
reply, then one `Finished` per choice, or one `Failed` for a request that cannot be served.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Literal, Protocol

import msgspec
from msgspec import Meta

from llmtool.errors import Cancelled, LlmtoolError

MAX_SEED = 2**32 - 2  # llama.cpp takes 2^32-1 for "choose one"
DEFAULT_MAX_TOKENS = 512

Role = Literal["system", "user", "assistant"]
TokenKind = Literal["ordinary", "control", "unknown", "user"]
FinishReason = Literal["stop", "length"]
OnProgress = Callable[[float, float], None]


class Message(msgspec.Struct, frozen=True):
    """One turn of a conversation. `content` is data: it never becomes a control token."""

    role: Role
    content: str


class Sampling(msgspec.Struct, frozen=True, kw_only=True):
    """How tokens are chosen. The chain is llama.cpp's own, applied in the order of the fields.

    `temperature` 0 is greedy; `top_k` 0, `top_p` 1, `min_p` 0 and `repeat_penalty` 1 switch a step
    off. `max_tokens` None means: up to `DEFAULT_MAX_TOKENS`, fewer where the context ends; a number
    must fit. `seed` None means: choose one and report it. A reply ends before the first of the
    `stop` strings.
    """

    repeat_penalty: Annotated[float, Meta(gt=0)] = 1.0
    repeat_last_n: Annotated[int, Meta(ge=-1)] = 64
    top_k: Annotated[int, Meta(ge=0)] = 40
    top_p: Annotated[float, Meta(ge=0, le=1)] = 0.95
    min_p: Annotated[float, Meta(ge=0, le=1)] = 0.05
    temperature: Annotated[float, Meta(ge=0, le=100)] = 0.8
    seed: Annotated[int, Meta(ge=0, le=MAX_SEED)] | None = None
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    stop: tuple[str, ...] = ()


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """What a model is asked: a conversation, or plain text to go on with.

    Exactly one of `messages` and `text` is given. `prefill` is the beginning of the reply, which
    the model continues. `thinking` turns a thinking model's thought on or off where its chat
    template can do that.
    """

    messages: tuple[Message, ...] = ()
    text: str | None = None
    prefill: str = ""
    thinking: bool = False


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A prompt, how to sample from it, and how many choices to make (choice i: seed + i)."""

    prompt: Prompt
    sampling: Sampling = Sampling()
    n: Annotated[int, Meta(ge=1)] = 1
    id: int = 0


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Token counts: of the prompt, of those the ones that were not computed anew, of the reply."""

    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int


class Timings(msgspec.Struct, frozen=True, kw_only=True):
    """Wall-clock seconds of one choice: its prefill, and its decoding after the first token."""

    prefill_seconds: float
    decode_seconds: float


class Token(msgspec.Struct, frozen=True):
    """A piece of reply text, which may be empty while a character or a stop string is undecided.

    `thought` marks a thinking model's thought, which is no part of the answer.
    """

    id: int
    choice: int
    text: str
    thought: bool = False


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


Event = Token | Finished | Failed


class EngineInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine runs on, and what it cost to get there."""

    n_ctx: int
    n_ctx_train: int
    n_threads: int
    n_gpu_layers: int
    load_seconds: float
    context_seconds: float


class Tokenized(msgspec.Struct, frozen=True, kw_only=True):
    """A prompt as the model sees it: the rendered text and its token ids, shape (n_tokens,)."""

    text: str
    token_ids: tuple[int, ...]
    in_thought: bool = False


class Engine(Protocol):
    """A model that is ready to answer: llama.cpp, or a scripted one for tests."""

    @property
    def info(self) -> EngineInfo: ...

    def stream(self, requests: Iterable[Request]) -> Iterator[Event]:
        """Answer requests, pulled lazily, with events."""
        ...

    def tokenize(self, prompt: Prompt) -> Tokenized: ...

    def fit(self, n_prompt: int, max_tokens: int | None) -> tuple[int, int]:
        """Return (max_tokens, n_ctx) for `n_prompt` tokens, or raise `ContextOverflow`."""
        ...

    def close(self) -> None: ...


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
