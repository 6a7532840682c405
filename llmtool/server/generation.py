"""Run a request of an API for text: its options, its events, and its complete reply."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

import msgspec

from llmtool.engine.types import Finished, Prompt, Request, Sampling, Token, TokenLogprob, Usage
from llmtool.server.errors import RequestError
from llmtool.tasks.options import MAX_REPLIES
from llmtool.tasks.pipeline.collect import raise_failures
from llmtool.tasks.pipeline.conversation import Messages, parse_messages, split_for_reply
from llmtool.tasks.pipeline.output_spec import OutputSpec
from llmtool.tasks.pipeline.prepare import make_sampling
from llmtool.tasks.results import total_usage
from llmtool.toolbox import Toolbox

_CHAT_TEMPLATE = "chat"


class Reply(msgspec.Struct):
    """A complete reply; `logprobs` are those of its tokens, if they were requested."""

    text: str = ""
    reasoning: str = ""
    finish_reason: str = ""
    seed: int = 0
    logprobs: list[TokenLogprob] = []


class Replies:
    """The replies to one request, as far as their events were added."""

    def __init__(self, n: int) -> None:
        self.choices = [Reply() for _ in range(n)]
        self._usages: list[Usage] = []

    def add(self, event: Token | Finished) -> None:
        choice = self.choices[event.choice]
        if isinstance(event, Finished):
            choice.finish_reason, choice.seed = event.finish_reason, event.seed
            self._usages.append(event.usage)
            return
        choice.text += event.text
        choice.reasoning += event.reasoning
        if event.logprob is not None:
            choice.logprobs.append(event.logprob)

    @property
    def usage(self) -> Usage:
        """The tokens of all replies; those of the prompt, which they share, are counted once."""
        total = total_usage(self._usages)
        n_done = len(self._usages) or 1
        return Usage(
            prompt_tokens=total.prompt_tokens // n_done,
            cached_tokens=self._usages[0].cached_tokens if self._usages else 0,
            completion_tokens=total.completion_tokens,
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


def sampling_for_text(options: Mapping[str, Any]) -> Sampling:
    """Return the sampling options of a completion; those it omits are the engine's defaults."""
    return make_sampling({name: value for name, value in options.items() if value is not None})


def constrain(sampling: Sampling, spec: OutputSpec | None) -> Sampling:
    """Return sampling options with a constraint.

    Raises:
        RequestError: a part of the schema cannot be enforced.
    """
    if spec is None:
        return sampling
    if spec.unenforced:
        names = ", ".join(map(str, spec.unenforced))
        raise RequestError(
            f"the schema uses {names}, which cannot be enforced; remove it",
            code="invalid_schema",
            param="response_format",
        )
    return msgspec.structs.replace(sampling, constraint=spec.constraint)


def chat_prompt(messages: Messages, *, thinking: Any = None) -> Prompt:
    """Return the prompt of a conversation; a last message of the assistant is continued.

    Raises:
        UsageError: a message is invalid.
    """
    parsed = parse_messages(messages)
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


def events(box: Toolbox, request: Request) -> Generator[Token | Finished, None, None]:
    """Yield the events of a request.

    Raises:
        LlmtoolError: it failed.
    """
    for event in raise_failures(box.engine.stream([request])):
        if isinstance(event, (Token, Finished)):
            yield event
