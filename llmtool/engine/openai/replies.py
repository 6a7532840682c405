"""From the documents of a reply, streamed or whole, to the events of the engine.

All text is data of the server: it may be invalid, and lengths are limited.
"""

from __future__ import annotations

import time
from typing import Any

import msgspec

from llmtool.engine.openai.endpoint import Endpoint
from llmtool.engine.openai.errors import Fatal, Retryable, invalid_reply, quote, request_error
from llmtool.engine.reply import Reply
from llmtool.engine.types import (
    DEFAULT_MAX_TOKENS,
    MAX_SEED,
    Event,
    Finished,
    FinishReason,
    Request,
    Timings,
    Token,
    TokenLogprob,
    Usage,
)
from llmtool.errors import LlmtoolError, ServerError, format_json_error
from llmtool.sizes import format_count

_MAX_CHARACTERS = 64  # of a token, on average; a reply may have no more
_SPARE_CHARACTERS = 1 << 20
_BYTES_PER_TOKEN = 4  # of a prompt, if the server reports no usage


class _Entry(msgspec.Struct):
    token: str = ""
    logprob: float | None = None
    bytes: list[int] | None = None
    top_logprobs: list[_Entry] | None = None


class _Logprobs(msgspec.Struct):
    """Those of a chat are in `content`, those of a text in lists of equal length."""

    content: list[_Entry] | None = None
    tokens: list[str] | None = None
    token_logprobs: list[float | None] | None = None
    top_logprobs: list[dict[str, float] | None] | None = None


class _Message(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None


class _Choice(msgspec.Struct):
    index: int = 0
    delta: _Message | None = None
    message: _Message | None = None
    text: str | None = None
    logprobs: _Logprobs | None = None
    finish_reason: str | None = None
    stop_reason: str | int | None = None


class _PromptDetails(msgspec.Struct):
    cached_tokens: int | None = None


class _ReplyDetails(msgspec.Struct):
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _ReplyDetails | None = None


class _Document(msgspec.Struct):
    choices: list[_Choice] = []
    usage: _Usage | None = None
    model: str | None = None
    error: Any = None


_decoder = msgspec.json.Decoder(_Document)


class _Part:
    """One choice so far."""

    def __init__(self, reply: Reply, opening: Opening) -> None:
        self.reply, self.opening = reply, opening
        self.finish_reason: FinishReason | None = None
        self.stop_string: str | None = None
        self.n_tokens = self.n_reasoning = 0
        self.n_characters = 0

    @property
    def is_complete(self) -> bool:
        return self.finish_reason is not None or self.reply.stopped


class ReplyReader:
    """Reads the documents of a reply to a request.

    Args:
        model: the model that was asked for.
        first_choice: the number of the request's first choice.
        repeats_prefill: whether the reply may begin with the prefill.
    """

    def __init__(
        self,
        request: Request,
        *,
        endpoint: Endpoint,
        model: str,
        seed: int,
        first_choice: int = 0,
        repeats_prefill: bool = False,
    ) -> None:
        self._request, self._endpoint, self._model = request, endpoint, model
        self._seed, self._first = seed, first_choice
        prompt = request.prompt
        repeated = prompt.prefill if repeats_prefill and prompt.text is None else ""
        self._parts = [
            _Part(
                Reply(
                    request.id,
                    first_choice + index,
                    stop=request.sampling.stop,
                    is_plain=prompt.suffix is not None,
                ),
                Opening(repeated),
            )
            for index in range(request.n)
        ]
        self._usage: _Usage | None = None
        self._started = time.perf_counter()
        self._first_token_at: float | None = None
        sampling = request.sampling
        limit = (sampling.max_tokens or DEFAULT_MAX_TOKENS) + (sampling.think_tokens or 0)
        self._max_characters = _SPARE_CHARACTERS + _MAX_CHARACTERS * limit
        self.answered_by: str | None = None

    @property
    def has_begun(self) -> bool:
        """Whether the reply has a token."""
        return self._first_token_at is not None

    @property
    def is_complete(self) -> bool:
        """Whether all choices have ended."""
        return all(part.is_complete for part in self._parts)

    @property
    def is_stopped(self) -> bool:
        """Whether stop strings ended all choices, so that nothing more is needed."""
        return all(part.reply.stopped for part in self._parts)

    @property
    def n_missing(self) -> int:
        """The number of choices at the end that the server omitted, as it supports fewer."""
        n_missing = 0
        for part in reversed(self._parts[1:]):
            if part.is_complete or part.n_tokens:
                break
            n_missing += 1
        return n_missing

    @property
    def n_tokens(self) -> int:
        return sum(part.n_tokens for part in self._parts)

    def add(self, data: bytes) -> list[Token]:
        """Add a document; return its events.

        Raises:
            LlmtoolError: it is not valid, or an error.
        """
        text = data.decode("utf-8", "replace")
        try:
            document = _decoder.decode(text)
        except (msgspec.DecodeError, RecursionError, UnicodeEncodeError) as exc:
            raise invalid_reply(self._endpoint, format_json_error(exc)) from None
        if document.error:
            raise self._error(document.error)
        if document.model and self.answered_by is None:
            self.answered_by = document.model
        if document.usage is not None:
            self._usage = document.usage
        return [token for choice in document.choices for token in self._add_choice(choice)]

    def finish(self) -> list[Event]:
        """Return the last events of all choices; those that are missing have none.

        Raises:
            Retryable: a choice has not ended.
        """
        if not self.is_complete and not self.n_missing:
            raise Retryable(
                ServerError(
                    f"{self._endpoint.name}: the server ended the reply after "
                    f"{format_count(self.n_tokens, 'token')}; run the command again"
                )
            )
        present = self._parts[: len(self._parts) - self.n_missing]
        usages = self._share_usage(present)
        ended = time.perf_counter()
        first = self._first_token_at or ended
        events: list[Event] = []
        for index, (part, usage) in enumerate(zip(present, usages, strict=True)):
            if rest := part.opening.finish():
                events += part.reply.push(rest.encode("utf-8", "replace"))
            events += part.reply.finish()
            details = self._usage and self._usage.completion_tokens_details
            n_reasoning = (details and details.reasoning_tokens) or part.n_reasoning
            events.append(
                Finished(
                    id=self._request.id,
                    choice=self._first + index,
                    finish_reason="stop" if part.reply.stopped else part.finish_reason or "stop",
                    usage=usage,
                    timings=Timings(
                        prefill_seconds=first - self._started,
                        decode_seconds=ended - first,
                        first_token_at=first,
                    ),
                    seed=(self._seed + index) % (MAX_SEED + 1),
                    reasoning_tokens=min(n_reasoning, usage.completion_tokens),
                    stop_string=part.reply.stop_string or part.stop_string,
                )
            )
        return events

    def _add_choice(self, choice: _Choice) -> list[Token]:
        if not 0 <= choice.index < len(self._parts):
            problem = f"choice {choice.index} of {len(self._parts)}"
            raise invalid_reply(self._endpoint, problem)
        part = self._parts[choice.index]
        message = choice.delta or choice.message or _Message(content=choice.text)
        reasoning = message.reasoning_content or message.reasoning or ""
        content = part.opening.push(message.content or message.refusal or "")
        if part.finish_reason is not None and (content or reasoning):
            raise invalid_reply(self._endpoint, f"choice {choice.index} continues after its end")
        part.n_characters += len(content) + len(reasoning)
        if part.n_characters > self._max_characters:
            raise invalid_reply(self._endpoint, "the reply is longer than its limit of tokens")
        logprobs = self._read_logprobs(choice.logprobs)
        if (content or reasoning or logprobs) and self._first_token_at is None:
            self._first_token_at = time.perf_counter()
        events: list[Token] = []
        if reasoning and not part.reply.stopped:
            part.n_tokens += 1
            part.n_reasoning += 1
            events.append(Token(self._request.id, self._first + choice.index, reasoning=reasoning))
        if content or (logprobs and not reasoning):
            part.n_tokens += len(logprobs) or 1
            part.n_reasoning += part.reply.in_reasoning
            events += self._add_text(part, choice.index, content, logprobs)
        if choice.finish_reason is not None:
            if part.finish_reason is not None:
                raise invalid_reply(self._endpoint, f"choice {choice.index} ends twice")
            part.finish_reason = self._finish_reason(choice.finish_reason)
            if isinstance(choice.stop_reason, str):
                part.stop_string = choice.stop_reason
        return events

    def _add_text(
        self, part: _Part, index: int, text: str, logprobs: list[TokenLogprob]
    ) -> list[Token]:
        if not logprobs:
            return [] if part.reply.stopped else part.reply.push(text.encode("utf-8", "replace"))
        events: list[Token] = []
        tokens = [bytes(each.bytes) for each in logprobs]
        if b"".join(tokens) != text.encode("utf-8", "replace"):
            tokens = [b"", *[b""] * (len(logprobs) - 1)]
            if not part.reply.stopped:
                events += part.reply.push(text.encode("utf-8", "replace"))
        for raw, logprob in zip(tokens, logprobs, strict=True):
            if part.reply.stopped:
                break
            found = part.reply.push(raw) or [Token(self._request.id, self._first + index)]
            events.append(msgspec.structs.replace(found[0], logprob=logprob))
            events += found[1:]
        return events

    def _read_logprobs(self, found: _Logprobs | None) -> list[TokenLogprob]:
        if found is None or not self._request.sampling.logprobs:
            return []
        n_top = self._request.sampling.logprobs
        if found.content is not None:
            return [
                _token(each, tuple(_token(top) for top in (each.top_logprobs or [])[:n_top]))
                for each in found.content
            ]
        tokens, values = found.tokens or [], found.token_logprobs or []
        tops = found.top_logprobs or [None] * len(tokens)
        if not len(tokens) == len(values) == len(tops):
            raise invalid_reply(self._endpoint, "lists of log-probabilities differ in length")
        return [
            _token(
                _Entry(token, value),
                tuple(
                    _token(_Entry(name, number))
                    for name, number in sorted(
                        (top or {}).items(), key=lambda item: item[1], reverse=True
                    )[:n_top]
                ),
            )
            for token, value, top in zip(tokens, values, tops, strict=True)
        ]

    def _finish_reason(self, reason: str) -> FinishReason:
        if reason == "length":
            return "length"
        if reason == "content_filter":
            raise ServerError(
                f"{self._endpoint.name}: the server withheld the reply (content_filter)"
            )
        if reason in ("abort", "error", "cancelled"):
            error = ServerError(f"{self._endpoint.name}: the server ended the reply ({reason})")
            raise Retryable(error)
        return "stop"

    def _error(self, error: Any) -> LlmtoolError | Retryable:
        body = msgspec.json.encode({"error": error})
        fallback = f"{self._endpoint.name}: the server failed during the reply"
        found = request_error(self._endpoint, body, fallback)
        code = error.get("code") if isinstance(error, dict) else None
        kind = str(error.get("type", "")) if isinstance(error, dict) else ""
        if kind == "server_error" or (isinstance(code, int) and code >= 500):
            return Retryable(ServerError(str(found)))
        return found

    def _share_usage(self, parts: list[_Part]) -> list[Usage]:
        """Return the token counts of each choice; a server reports only their total."""
        usage = self._usage or _Usage()
        n_prompt = usage.prompt_tokens
        if n_prompt is None:
            n_bytes = len(self._request.prompt.input_text.encode("utf-8", "replace"))
            n_prompt = n_bytes // _BYTES_PER_TOKEN + 1
        details = usage.prompt_tokens_details
        counts = [part.n_tokens for part in parts]
        if usage.completion_tokens is not None:
            counts = _scale(counts, usage.completion_tokens)
        return [
            Usage(
                prompt_tokens=max(0, n_prompt),
                cached_tokens=max(0, (details and details.cached_tokens) or 0),
                completion_tokens=count,
            )
            for count in counts
        ]


class Opening:
    """Removes the prefill from the start of a reply, if the server repeats it there.

    A prefill that opens a code block may be repeated with another language.

    Example:
        >>> opening = Opening("Well,")
        >>> opening.push("We"), opening.push("ll, yes"), opening.push(" Well,")
        ('', ' yes', ' Well,')
    """

    def __init__(self, prefill: str) -> None:
        self._prefill, self._pending = prefill.strip(), ""

    def push(self, text: str) -> str:
        """Append a part of the reply; return the text that is not of the prefill."""
        if not self._prefill:
            return text
        self._pending += text
        found = self._pending.lstrip()
        if found.startswith(self._prefill):
            rest = found[len(self._prefill) :]
            if not self._prefill.endswith("```"):
                return self._end(rest)
            if "\n" in rest:  # the line may name a language
                return self._end(rest.partition("\n")[2])
            return ""
        if self._prefill.startswith(found):
            return ""
        if self._prefill.startswith("```") and "\n" not in self._prefill:
            line, end, rest = found.partition("\n")
            if line.startswith("```") and end:
                return self._end(rest)
            if line.startswith("```"):
                return ""
        return self._end(self._pending)

    def finish(self) -> str:
        """Return the pending text at the end of the reply."""
        return self._end(self._pending) if self._prefill else ""

    def _end(self, text: str) -> str:
        self._prefill = self._pending = ""
        return text


def _token(entry: _Entry, top: tuple[TokenLogprob, ...] = ()) -> TokenLogprob:
    raw = entry.bytes
    if raw is None or any(not 0 <= each <= 255 for each in raw):
        raw = list(entry.token.encode("utf-8", "replace"))
    return TokenLogprob(token=entry.token, bytes=tuple(raw), logprob=entry.logprob, top=top)


def _scale(counts: list[int], total: int) -> list[int]:
    """Return counts in the same proportions with a given sum.

    Example:
        >>> _scale([1, 3], 9), _scale([0, 0], 3)
        ([2, 7], [1, 2])
    """
    total = max(0, total)
    weights = counts if sum(counts) else [1] * len(counts)
    scaled = [total * weight // sum(weights) for weight in weights]
    if scaled:
        scaled[-1] += total - sum(scaled)
    return scaled


class OtherModel(ServerError):
    """Another model answered than the one that was asked."""


def check_model(endpoint: Endpoint, asked: str, answered: str | None) -> None:
    """Check the name of the model that answered; None if the server does not report it.

    Raises:
        Fatal: it is another model.
    """
    if answered is None or not endpoint.check_model or is_same_model(asked, answered):
        return
    other, name = quote(endpoint, answered), endpoint.name
    raise Fatal(
        OtherModel(
            f"{name}: asked {asked!r}, but {other!r} answered; check the model, or set "
            f"endpoints.{name}.check_model to false"
        )
    )


def is_same_model(asked: str, answered: str) -> bool:
    """Return whether a server's name of a model may be that of the one asked for.

    Servers add a date or a path, or omit a tag.

    Example:
        >>> is_same_model("gpt-4o", "gpt-4o-2024-08-06"), is_same_model("qwen3:latest", "Qwen3")
        (True, True)
        >>> is_same_model("gpt-4o", "llama")
        False
    """
    first, second = (
        name.lower().replace("\\", "/").rpartition("/")[2].removesuffix(".gguf")
        for name in (asked, answered)
    )
    first, second = (
        name.removesuffix(":latest").removesuffix("-latest") for name in (first, second)
    )
    return first.startswith(second) or second.startswith(first)
