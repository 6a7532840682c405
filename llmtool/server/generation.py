"""Run a request of an API for text: its options, its events, and its complete reply."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

import msgspec

from llmtool.engine.types import Finished, Prompt, Sampling, Token, TokenLogprob, Usage
from llmtool.errors import about_option
from llmtool.server.errors import RequestError, naming
from llmtool.tasks.options import MAX_REPLIES
from llmtool.tasks.pipeline.conversation import Messages, parse_messages, split_for_reply
from llmtool.tasks.pipeline.output_spec import OutputSpec, make_output_spec
from llmtool.tasks.pipeline.prepare import make_sampling
from llmtool.toolbox import Toolbox

# Log-probabilities of tokens and their alternatives in a response; each takes 300 bytes in memory.
MAX_LOGPROBS = 500_000
_CHAT_TEMPLATE = "chat"


class Reply(msgspec.Struct):
    """A reply so far; `logprobs` are those of its tokens, `prompt_logprobs` those of the prompt."""

    text: str = ""
    reasoning: str = ""
    finish_reason: str = ""
    stop_string: str | None = None
    seed: int = 0
    logprobs: list[TokenLogprob] = []
    prompt_logprobs: list[TokenLogprob] = []


class Replies:
    """The replies to requests with `n` choices each, as far as their events were added.

    `choices` has those of the first request first.
    """

    def __init__(self, n: int, n_requests: int = 1) -> None:
        self._n = n
        self.choices = [Reply() for _ in range(n * n_requests)]
        self._prompts: dict[int, Usage] = {}
        self._completion_tokens = self.reasoning_tokens = self._n_logprobs = 0

    def index(self, event: Token | Finished) -> int:
        """Return the index of an event's choice."""
        return event.id * self._n + event.choice

    def add(self, event: Token | Finished) -> None:
        """Add an event.

        Raises:
            RequestError: the response has too many log-probabilities.
        """
        choice = self.choices[self.index(event)]
        if isinstance(event, Finished):
            choice.finish_reason, choice.seed = event.finish_reason, event.seed
            choice.stop_string = event.stop_string
            if event.choice == 0:  # the others share its prompt
                self._prompts[event.id] = event.usage
            self._completion_tokens += event.usage.completion_tokens
            self.reasoning_tokens += event.reasoning_tokens
            return
        choice.text += event.text
        choice.reasoning += event.reasoning
        if event.logprob is not None:
            self._count(event.logprob)
            choice.logprobs.append(event.logprob)
        if event.prompt_logprob is not None:  # of all choices
            self._count(event.prompt_logprob, self._n)
            for each in self.choices[event.id * self._n : (event.id + 1) * self._n]:
                each.prompt_logprobs.append(event.prompt_logprob)

    def _count(self, token: TokenLogprob, n: int = 1) -> None:
        self._n_logprobs += n * (1 + len(token.top))
        if self._n_logprobs > MAX_LOGPROBS:
            raise RequestError(
                f"logprobs: the response has more than {MAX_LOGPROBS:,} tokens and alternatives; "
                "request fewer alternatives, tokens or replies",
                param="logprobs",
            )

    @property
    def usage(self) -> Usage:
        """The tokens of all replies; those of a prompt, which its choices share, count once."""
        prompts = self._prompts.values()
        return Usage(
            prompt_tokens=sum(each.prompt_tokens for each in prompts),
            cached_tokens=sum(each.cached_tokens for each in prompts),
            completion_tokens=self._completion_tokens,
        )


def sampling_for_chat(box: Toolbox, options: Mapping[str, Any]) -> Sampling:
    """Return the sampling options of a chat request; those it omits are those of `llmtool chat`.

    Raises:
        UsageError: an option is out of range.
    """
    params = dict(box.context.load_template(_CHAT_TEMPLATE).params)
    params.pop("thinking", None)
    settings = box.context.settings
    given = {"max_tokens": settings.max_tokens, "temperature": settings.temperature, **options}
    params |= {name: value for name, value in given.items() if value is not None}
    return make_sampling(params)


def sampling_for_text(options: Mapping[str, Any], *, echo: bool = False) -> Sampling:
    """Return the sampling options of a completion; those it omits are the engine's defaults.

    Raises:
        UsageError: an option is out of range.
    """
    given = {name: value for name, value in options.items() if value is not None}
    return make_sampling(given, echo=echo)


async def compile_spec(
    *, schema: object = None, regex: str | None = None, grammar: str | None = None
) -> OutputSpec | None:
    """Return the spec of a constraint; a thread compiles it, which may take seconds.

    Raises:
        UsageError: it is invalid.
    """
    return await asyncio.to_thread(make_output_spec, schema=schema, regex=regex, grammar=grammar)


def constrain(
    sampling: Sampling, spec: OutputSpec | None, *, param: str = "response_format"
) -> Sampling:
    """Return sampling options with a constraint; `param` is the field of the body that has it.

    Raises:
        RequestError: a part of the schema cannot be enforced.
    """
    if spec is None:
        return sampling
    if spec.unenforced:
        raise RequestError(
            f"{param}: the schema uses {spec.unenforced}, which cannot be enforced; remove it",
            code="invalid_schema",
            param=param,
        )
    return msgspec.structs.replace(sampling, constraint=spec.constraint)


def chat_prompt(messages: Messages, *, thinking: Any = None, param: str = "messages") -> Prompt:
    """Return the prompt of a conversation; a last message of the assistant is continued.

    `param` is the field of the body that has the messages.

    Raises:
        UsageError: a message is invalid.
    """
    with about_option(param):
        parsed = parse_messages(messages)
    with naming(param, code=None):
        _, _, prefill = split_for_reply(parsed)
    return Prompt(messages=parsed[:-1] if prefill else parsed, prefill=prefill, thinking=thinking)


def check_n(n: int | None) -> int:
    """Return a number of replies; None is one.

    Raises:
        RequestError: it is out of range.
    """
    n = 1 if n is None else n
    if not 1 <= n <= MAX_REPLIES:
        raise RequestError(f"n: must be 1 to {MAX_REPLIES}, got {n}", param="n")
    return n


async def collect(lists: AsyncGenerator[list[Token | Finished], None], replies: Replies) -> None:
    """Add all events to their replies."""
    async with aclosing(lists):
        async for events in lists:
            for event in events:
                replies.add(event)


async def first_events(
    lists: AsyncGenerator[list[Token | Finished], None],
) -> list[Token | Finished]:
    """Return the first list of events that is not empty; an invalid request raises its error."""
    while not (events := await lists.__anext__()):
        pass
    return events
