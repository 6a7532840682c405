"""Generate text: reply to prompts with a stream of tokens and a `Generation` each."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from llmtool.engine.types import Token
from llmtool.errors import UsageError
from llmtool.tasks.options import GenerateOptions
from llmtool.tasks.pipeline.collect import map_texts, raise_failures
from llmtool.tasks.pipeline.context import TaskContext
from llmtool.tasks.pipeline.conversation import Messages, parse_messages, split_for_reply
from llmtool.tasks.pipeline.prepare import Case, prepare
from llmtool.tasks.results import Generation
from llmtool.tasks.streams import Stream


def generate(
    context: TaskContext,
    prompt: str | Iterable[str] | None,
    options: GenerateOptions,
    *,
    messages: Messages | None = None,
) -> Generation[Any] | Iterator[Generation[Any]] | list[Generation[Any]]:
    """Reply to a prompt, several prompts or a conversation; see `Toolbox.generate`."""
    if messages is not None or prompt is None or isinstance(prompt, str):
        return stream_generate(context, prompt, options, messages=messages).result

    def run(prompts: Iterable[str]) -> Iterator[Generation[Any]]:
        prepared = prepare(context, options)
        cases = (Case(id=i, prompt=prompt) for i, prompt in enumerate(prompts))
        events = raise_failures(prepared.outcomes(context.engine, cases))
        return (event for event in events if isinstance(event, Generation))

    return map_texts(prompt, run)


def stream_generate(
    context: TaskContext,
    prompt: str | Iterable[str] | None,
    options: GenerateOptions,
    *,
    messages: Messages | None = None,
) -> Stream[Token, Generation[Any]]:
    """Generate a reply as a stream of tokens; see `Toolbox.stream_generate`."""
    started = time.perf_counter()
    case, options = make_case(prompt, options, messages=messages)
    return prepare(context, options).stream(context.engine, case, started=started)


def make_case(
    prompt: str | Iterable[str] | None, options: GenerateOptions, *, messages: Messages | None
) -> tuple[Case, GenerateOptions]:
    """Return the case of a prompt or a conversation, and the options with the start of its reply.

    Raises:
        UsageError: a message is invalid, or options cannot be combined with messages.
    """
    if messages is None:
        if prompt is None and options.input is None and not options.variables:
            raise UsageError("no prompt; pass prompt= or messages=")
        return Case(prompt=prompt), options  # type: ignore[arg-type]
    defaults = GenerateOptions()
    others = {
        "prompt": prompt is not None,
        "input": options.input is not None,
        "template": options.template != defaults.template,
        "variables": options.variables != defaults.variables,
    }
    if unused := [name for name, is_given in others.items() if is_given]:
        raise UsageError(
            f"{unused[0]}= cannot be combined with messages=; add the text to the messages"
        )
    parsed = parse_messages(messages)
    if options.system is not None and any(message.role == "system" for message in parsed):
        raise UsageError("system= cannot be combined with messages= that have a system message")
    history, text, prefill = split_for_reply(parsed)
    if prefill and options.prefill:
        raise UsageError("prefill= cannot be combined with messages= that end with the assistant's")
    options = msgspec.structs.replace(options, prefill=prefill or options.prefill)
    return Case(prompt=text, history=history), options
