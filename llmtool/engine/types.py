"""The engine protocol, its requests and its events.

A `Request` is for text. Its events are a `Token` for each chunk of reply text, then one `Finished`
per choice, or one `Failed` if the request cannot be served. A `ScoreRequest` is for the
probabilities of given continuations, and returns `Scores`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Annotated, Any, Literal, Protocol, get_args

import msgspec
from msgspec import UNSET, Meta, UnsetType

from llmtool.cancellation import Cancellation
from llmtool.errors import LlmtoolError, UsageError
from llmtool.option_names import option
from llmtool.short_repr import short_repr
from llmtool.structured.constraint import Constraint

MAX_COUNT = 2**31 - 1  # of tokens
MAX_SEED = 2**32 - 2  # llama.cpp reads 2^32-1 as a random seed
DEFAULT_MAX_TOKENS = 512
MAX_LOGPROBS = 100
MAX_LOGIT_BIAS = 100
MAX_PENALTY = 100  # also the largest factor of a repeated token; its inverse is the smallest
MAX_LORA_SCALE = 100
_N_COMPARED = 128  # tokens at once, which is faster than one by one
_N_RECENT = 16  # steps in the average of `StreamProgress.step_seconds`
_MIN_CUT = 32  # tokens; a shorter reply has no room for reasoning and an answer

Role = Literal["system", "user", "assistant"]
TokenKind = Literal["ordinary", "control", "unknown", "user"]
FinishReason = Literal["stop", "length"]
ScoringMethod = Literal["exact", "top-k"]
DraftMode = Literal["auto", "off", "ngram"]
KVType = Literal["f16", "q8_0"]
Effort = Literal["low", "medium", "high"]
EFFORTS: tuple[Effort, ...] = ("low", "medium", "high")
OnProgress = Callable[[float, float], None]


class Message(msgspec.Struct, frozen=True):
    """One message of a conversation. Nothing in `content` is parsed as a control token."""

    role: Role
    content: str

    __repr__ = short_repr("role", "content")


class Sampling(msgspec.Struct, frozen=True, kw_only=True):
    """Sampling parameters, in the order of llama.cpp's sampler chain.

    - `logit_bias` adds to the logits of tokens. A key of digits is the id of a token; any other key
      is its text, such as `" hello"` or `"<|im_end|>"`.
    - `repeat_penalty` 1, `top_k` 0, `typical_p` 1, `top_p` 1 and `min_p` 0 disable their samplers.
    - `repeat_last_n` is the number of tokens that the penalty covers; -1 is the whole reply.
    - `frequency_penalty` is subtracted from the logit of a token each time that the reply contains
      it, `presence_penalty` once.
    - `dry_multiplier` penalizes tokens that would extend a repetition, more for each token beyond
      `dry_allowed_length`; 0 disables DRY.
    - `xtc_probability` is the probability with which XTC excludes the top choices at a token: all
      tokens of at least the probability `xtc_threshold` but the least likely of them. A threshold
      above 0.5 disables XTC.
    - `temperature` 0 is greedy.
    - `seed` None picks a random seed, which `Finished` reports, or 0 if the reply is greedy.
    - `max_tokens` None allows `DEFAULT_MAX_TOKENS`, or as many as the context has room for. A
      number that does not fit is an error. 0 is only for requests with `echo`.
    - `think_tokens` ends the reasoning after as many tokens, in addition to `max_tokens`. None
      leaves room for an answer within `max_tokens`: half of them, at most `DEFAULT_MAX_TOKENS`. The
      text that then closes the reasoning counts towards `max_tokens`.
    - `stop`: the reply ends before the first of these strings.
    - `constraint`: the answer satisfies it.
    - `logprobs` is the number of alternatives to report with each token; 0 reports none.
    """

    logit_bias: dict[str, Annotated[float, Meta(ge=-MAX_LOGIT_BIAS, le=MAX_LOGIT_BIAS)]] = {}
    repeat_penalty: Annotated[float, Meta(ge=1 / MAX_PENALTY, le=MAX_PENALTY)] = 1.0
    repeat_last_n: Annotated[int, Meta(ge=-1, le=MAX_COUNT)] = 64
    frequency_penalty: Annotated[float, Meta(ge=-2, le=2)] = 0.0
    presence_penalty: Annotated[float, Meta(ge=-2, le=2)] = 0.0
    dry_multiplier: Annotated[float, Meta(ge=0, le=MAX_PENALTY)] = 0.0
    dry_base: Annotated[float, Meta(ge=1, le=MAX_PENALTY)] = 1.75
    dry_allowed_length: Annotated[int, Meta(ge=1, le=MAX_COUNT)] = 2
    top_k: Annotated[int, Meta(ge=0, le=MAX_COUNT)] = 40
    typical_p: Annotated[float, Meta(ge=0, le=1)] = 1.0
    top_p: Annotated[float, Meta(ge=0, le=1)] = 0.95
    min_p: Annotated[float, Meta(ge=0, le=1)] = 0.05
    xtc_probability: Annotated[float, Meta(ge=0, le=1)] = 0.0
    xtc_threshold: Annotated[float, Meta(ge=0, le=1)] = 0.1
    temperature: Annotated[float, Meta(ge=0, le=100)] = 0.8
    seed: Annotated[int, Meta(ge=0, le=MAX_SEED)] | None = None
    max_tokens: Annotated[int, Meta(ge=0, le=MAX_COUNT)] | None = None
    think_tokens: Annotated[int, Meta(ge=0, le=MAX_COUNT)] | None = None
    stop: tuple[str, ...] = ()
    constraint: Constraint | None = None
    logprobs: Annotated[int, Meta(ge=0, le=MAX_LOGPROBS)] = 0


@cache
def sampling_limits() -> Mapping[str, Meta]:
    """Return the range of each sampling option that is a number.

    Example:
        >>> sampling_limits()["top_p"].ge, sampling_limits()["top_p"].le
        (0, 1)
    """
    return {
        field.name: meta
        for field in msgspec.structs.fields(Sampling)
        if field.name != "logit_bias"
        for kind in (field.type, *get_args(field.type))
        for meta in getattr(kind, "__metadata__", ())
    }


class Adapter(msgspec.Struct, frozen=True):
    """A LoRA adapter: a GGUF file, and the scale of its effect; 0 has none.

    Example:
        >>> Adapter.parse("law.gguf:0.5").scale, str(Adapter("law.gguf")), str(Adapter("a.gguf", 2))
        (0.5, 'law.gguf', 'a.gguf:2')
    """

    path: str
    scale: float = 1.0

    def __str__(self) -> str:
        return self.path if self.scale == 1 else f"{self.path}:{self.scale:g}"

    @classmethod
    def parse(cls, text: str | os.PathLike[str], *, folder: str = "") -> Adapter:
        """Return the adapter of `FILE` or `FILE:SCALE`; a relative path is in `folder`.

        Raises:
            UsageError: the scale is not a number from -100 to 100, or the path is empty.
        """
        text, scale = os.fspath(text), 1.0
        path, colon, number = text.rpartition(":")
        if not colon or not path.lower().endswith(".gguf"):
            path = text
        else:
            with contextlib.suppress(ValueError):
                scale = float(number)
                colon = ""
            if colon or not -MAX_LORA_SCALE <= scale <= MAX_LORA_SCALE:
                limits = f"a number from -{MAX_LORA_SCALE} to {MAX_LORA_SCALE}"
                raise UsageError(f"{option('lora', text)}: the scale {number!r} must be {limits}")
        if not path.strip():
            raise UsageError(f"{option('lora', text)}: must be a GGUF file, or FILE:SCALE")
        return cls(os.path.join(folder, os.path.expanduser(path)), scale)

    @classmethod
    def parse_all(
        cls, given: str | os.PathLike[str] | Iterable[str | os.PathLike[str]], *, folder: str = ""
    ) -> tuple[Adapter, ...]:
        """Return the adapters of one or several texts; see `parse`."""
        several = [given] if isinstance(given, (str, os.PathLike)) else given
        return tuple(cls.parse(each, folder=folder) for each in several)


class RawText(msgspec.Struct, frozen=True, kw_only=True):
    """How a text becomes tokens: with the model's BOS or EOS added, and with special tokens parsed.

    Parsing makes control tokens of the parts that spell them, so it is for trusted text.
    """

    add_special: bool
    parse_special: bool


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation, or plain text to continue.

    - Pass either `messages`, `text` or `token_ids`, to which no other token is added.
    - `suffix`: the reply goes between `text` and `suffix` (fill in the middle).
    - `prefill` is the beginning of the reply, which the model continues.
    - `thinking` turns reasoning on, with medium or another effort, or off, if the chat template
      supports it; False also ends the reasoning of a model that always reasons before it begins.
      None turns it off, but is not a request to do so.
    - `probe` or `probe_text` is the same prompt with a different input. The common prefix of both
      is stored in the prompt cache. `n_fixed` sets the number of its tokens directly.
    - `adapters` are the LoRA adapters to use; None means those of the engine.
    - `languages` are the codes of source and target language, for chat templates that use them.
    - `continues`: a model without a chat template continues the text of the messages. By default,
      it sees them as a dialogue, and replies.
    - `raw` has options for tokenizing `text` as llama.cpp does.
    """

    messages: tuple[Message, ...] = ()
    text: str | None = None
    token_ids: tuple[int, ...] | None = None
    suffix: str | None = None
    prefill: str = ""
    thinking: bool | Effort | None = None
    probe: tuple[Message, ...] = ()
    probe_text: str = ""
    n_fixed: int | None = None
    languages: tuple[str, str] | None = None
    adapters: tuple[Adapter, ...] | None = None
    continues: bool = False
    raw: RawText | None = None

    @property
    def input_text(self) -> str:
        return "\n".join([self.text or "", *(message.content for message in self.messages)])


class ChatTemplateOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The source and name of a chat template, and the values of variables that it reads.

    `source` None is the template of the model.
    """

    source: str | None = None
    name: str = "the model's chat template"
    arguments: Mapping[str, Any] = {}


class FimTokens(msgspec.Struct, frozen=True, kw_only=True):
    """The ids of a model's control tokens for filling in the middle."""

    prefix: int
    suffix: int
    middle: int


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A prompt, its sampling parameters, and the number of choices; choice i has seed + i.

    `keep` leaves prompt and reply in the KV cache for the next turn of a conversation. `echo`
    reports the tokens of the prompt with their log-probabilities, before those of the reply.
    `cancellation` stops only this request, which fails with `Cancelled`.
    """

    prompt: Prompt
    sampling: Sampling = Sampling()
    n: Annotated[int, Meta(ge=1)] = 1
    keep: bool = False
    echo: bool = False
    id: int = 0
    cancellation: Cancellation | None = None


class ScoreRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A prompt, and candidate continuations to score.

    `end` includes the probability that the reply ends after the candidate, which distinguishes
    `sport` from `sports`.
    """

    prompt: Prompt
    candidates: Annotated[tuple[str, ...], Meta(min_length=1)]
    end: bool = False
    id: int = 0
    cancellation: Cancellation | None = None


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Token counts: the prompt, the part of it that was cached, and the reply.

    `drafted_tokens` were guessed by speculative decoding, and `accepted_tokens` of them were right.
    `cost` is what a server charges, in the currency of the prices in the settings, if it has some.
    """

    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    drafted_tokens: int = 0
    accepted_tokens: int = 0
    cost: float | UnsetType = UNSET


class Timings(msgspec.Struct, frozen=True, kw_only=True):
    """Wall-clock seconds of one choice: prefill, and decode after the first token.

    Sequences that are decoded together are timed together. `first_token_at` is the
    `time.perf_counter()` of the first token.
    """

    prefill_seconds: float
    decode_seconds: float
    first_token_at: float = 0.0


class TokenLogprob(msgspec.Struct, frozen=True, kw_only=True):
    """A token of a reply or prompt, and its natural log-probability given those before it.

    The probability is the model's, before temperature, penalties and constraints. It is None for
    the first token of a prompt. `top` has the
    most likely tokens at this position, in descending order, each without its own `top`. `bytes`
    are the token's bytes; `token` is their text, with U+FFFD for incomplete characters.
    """

    token: str
    bytes: tuple[int, ...]
    logprob: float | None
    top: tuple[TokenLogprob, ...] = ()

    __repr__ = short_repr("token", "logprob")


class Token(msgspec.Struct, frozen=True):
    """The next `text` of a reply, or the next `reasoning` before it; the other one is empty.

    Both are empty while a character or a stop string is incomplete. If logprobs were requested,
    every token of the text has its own event with a `logprob`. With `echo`, each token of the
    prompt has one with a `prompt_logprob`, before the reply and without text, and the token that
    ends the reply has one as well.
    """

    id: int
    choice: int
    text: str = ""
    reasoning: str = ""
    logprob: TokenLogprob | None = None
    prompt_logprob: TokenLogprob | None = None

    __repr__ = short_repr("text", "reasoning", "choice")

    def __str__(self) -> str:
        return self.text


class Finished(msgspec.Struct, frozen=True, kw_only=True):
    """The end of one choice, with the seed that it used.

    `reasoning_tokens` is the length of the reasoning.
    `cut_reasoning_tokens` is the length of reasoning that was ended by the default limit, else 0.
    `ended_repetition` is whether a string or list of a constrained reply was ended because it
    repeated itself. `stop_string` is the stop string that ended the reply, if one did.
    """

    id: int
    choice: int
    finish_reason: FinishReason
    usage: Usage
    timings: Timings
    seed: int
    reasoning_tokens: int = 0
    cut_reasoning_tokens: int = 0
    ended_repetition: bool = False
    stop_string: str | None = None


class Failed(msgspec.Struct, frozen=True):
    """A request that failed; other requests continue."""

    id: int
    error: LlmtoolError


class Scores(msgspec.Struct, frozen=True, kw_only=True):
    """The log-probabilities of the candidates, in the order of the request.

    `logprobs` has one tuple per candidate: the natural log-probability of each of its tokens, given
    the previous ones, and of the end of the reply if `end` was set. With the method "top-k", it is
    one number: what a server's most likely tokens say.
    """

    id: int
    logprobs: tuple[tuple[float, ...], ...]
    usage: Usage
    timings: Timings
    method: ScoringMethod = "exact"

    @property
    def totals(self) -> tuple[float, ...]:
        """The total log-probability of each candidate; shape (n_candidates,)."""
        return tuple(sum(each) for each in self.logprobs)


Event = Token | Finished | Scores | Failed


class EngineInfo(msgspec.Struct, frozen=True, kw_only=True):
    """An engine's limits, threads, GPU layers and load times.

    `n_ctx` is the maximum number of tokens of one request. `n_cells` is the size of the current
    context, which all sequences share. `n_params` is 0 if the size of the model is unknown.
    `has_chat_template` is false for a base model. The tokens that begin and end a text are None if
    the vocabulary has none.
    """

    n_ctx: int
    n_cells: int = 0
    n_ctx_train: int
    n_params: int = 0
    n_threads: int = 0
    n_gpu_layers: int = 0
    load_seconds: float = 0.0
    context_seconds: float = 0.0
    has_chat_template: bool = True
    bos_token: str | None = None
    eos_token: str | None = None


class StreamProgress(msgspec.Struct):
    """How far an engine's stream is. The engine updates it; other threads may read it.

    - `n_read` tokens of prompts were computed in `read_seconds`, and `n_unread` are left.
    - `n_requests` for `n_replies` were read; `running` has the length of each reply in progress and
      its maximum, and `finished` counts complete replies by length.
    - `step_seconds` is the recent time of a step, in which each reply in progress gets a token,
      `n_parallel` the largest number of replies in a step so far, and `max_parallel` its limit.
    """

    n_read: int = 0
    n_unread: int = 0
    read_seconds: float = 0.0
    n_requests: int = 0
    n_replies: int = 0
    running: tuple[tuple[int, int], ...] = ()
    finished: dict[int, int] = {}
    step_seconds: float = 0.0
    n_parallel: int = 0
    max_parallel: int = 0

    @property
    def n_generated(self) -> int:
        """The number of tokens of all replies so far."""
        n_finished = sum(length * n for length, n in list(self.finished.items()))
        return n_finished + sum(length for length, _ in self.running)

    def add_prompt_tokens(self, n_tokens: int) -> None:
        """Count tokens of a prompt that were computed."""
        self.n_read += n_tokens
        self.n_unread = max(0, self.n_unread - n_tokens)

    def add_reply(self, n_tokens: int) -> None:
        """Count a complete reply."""
        self.finished[n_tokens] = self.finished.get(n_tokens, 0) + 1

    def add_time(self, seconds: float, *, n_read: int) -> None:
        """Count the time of a step that also computed `n_read` tokens of prompts."""
        if n_read:
            self.read_seconds += max(0.0, seconds - self.step_seconds * bool(self.running))
        elif len(self.running) > self.n_parallel:  # such a step takes longer than those before
            self.n_parallel, self.step_seconds = len(self.running), seconds
        else:
            self.step_seconds += (seconds - self.step_seconds) / _N_RECENT

    def reset(self) -> None:
        """Start a new stream."""
        self.n_read = self.n_unread = self.n_requests = self.n_replies = self.n_parallel = 0
        self.read_seconds = self.step_seconds = 0.0
        self.running, self.finished = (), {}


class ReasoningSupport(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the chat template has variables that switch the reasoning, and tags around it."""

    has_variables: bool = True
    has_tags: bool = True


class Tokenized(msgspec.Struct, frozen=True, kw_only=True):
    """A rendered prompt and its token ids, shape (n_tokens,).

    The first `n_fixed` tokens come from the template and are the same for every input. `opening` is
    the end of the prompt if it begins the reasoning or the answer, such as `<think>`. With
    `begins_text` the reply does not continue a text of the prompt. The reply ends before the first
    of the strings of `stop`. `pieces` has the bytes of each token, if the prompt was given as ids.
    """

    text: str
    token_ids: tuple[int, ...]
    opening: str = ""
    begins_text: bool = False
    n_fixed: int = 0
    stop: tuple[str, ...] = ()
    pieces: tuple[bytes, ...] = ()


def plan_reply(sampling: Sampling, n_free: int) -> tuple[int, int]:
    """Return the maximum tokens of a reply with its reasoning, and those of its reasoning.

    `n_free` is the number of tokens that fit into the context after the prompt.

    Example:
        >>> plan_reply(Sampling(max_tokens=200), 4000)
        (200, 100)
        >>> plan_reply(Sampling(max_tokens=200, think_tokens=1000), 4000)
        (1200, 1000)
        >>> plan_reply(Sampling(max_tokens=200, think_tokens=1000), 500)
        (500, 300)
    """
    n_think, n_answer = sampling.think_tokens, sampling.max_tokens
    if n_answer == 0:
        return 0, 0
    if n_answer is None:
        total = min(DEFAULT_MAX_TOKENS + (n_think or 0), n_free)
    elif n_think is None:
        total = n_answer
    else:
        total = max(n_answer, min(n_answer + n_think, n_free))
        return total, total - n_answer
    limit = total - min(total // 2, DEFAULT_MAX_TOKENS) if total >= _MIN_CUT else total
    return total, limit if n_think is None else min(n_think, limit)


def common_prefix_length(sequences: Sequence[tuple[int, ...]]) -> int:
    """Return the length of the longest common prefix of token sequences.

    Example:
        >>> common_prefix_length([(1, 2, 3), (1, 2, 4), (1, 2)])
        2
    """
    if not sequences:
        return 0
    first, last = min(sequences), max(sequences)
    at, end = 0, min(len(first), len(last))
    while at < end and first[at : at + _N_COMPARED] == last[at : at + _N_COMPARED]:
        at += _N_COMPARED
    while at < end and first[at] == last[at]:
        at += 1
    return min(at, end)


class Engine(Protocol):
    """A model that serves requests.

    `LocalEngine` runs llama.cpp, `RemoteEngine` sends requests to a server with OpenAI's API,
    `SocketEngine` to one of the same user, and `ScriptedEngine` is for tests.
    """

    @property
    def info(self) -> EngineInfo: ...

    @property
    def progress(self) -> StreamProgress:
        """The counters of the current stream, for other threads."""
        ...

    @property
    def reasoning_support(self) -> ReasoningSupport: ...

    def stream(self, requests: Iterable[Request | ScoreRequest | Failed | None]) -> Iterator[Event]:
        """Yield the events of requests, which run concurrently.

        Requests are read lazily, and their events interleave. A `ScoreRequest` yields `Scores`. A
        None in `requests` means that no request is available yet: the engine continues with the
        running ones and polls again. A `Failed` in `requests` is yielded unchanged.
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
        """Save the KV cache of a prompt's first `n_fixed` tokens to disk, if most are computed."""
        ...

    def close(self) -> None: ...
