"""Generate text: reply to prompts with a stream of tokens and a `Generation` each."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any

from llmtool.engine.types import Token
from llmtool.tasks.options import GenerateOptions
from llmtool.tasks.pipeline.collect import map_texts, raise_failures
from llmtool.tasks.pipeline.context import TaskContext
from llmtool.tasks.pipeline.prepare import Case, prepare
from llmtool.tasks.results import Generation
from llmtool.tasks.streams import Stream


def generate(
    context: TaskContext, prompt: str | Iterable[str], options: GenerateOptions
) -> Generation[Any] | Iterator[Generation[Any]] | list[Generation[Any]]:
    """Reply to one prompt or several; see `Toolbox.generate`."""
    if isinstance(prompt, str):
        return stream_generate(context, prompt, options).result

    def run(prompts: Iterable[str]) -> Iterator[Generation[Any]]:
        prepared = prepare(context, options)
        cases = (Case(id=i, prompt=prompt) for i, prompt in enumerate(prompts))
        events = raise_failures(prepared.outcomes(context.engine, cases))
        return (event for event in events if isinstance(event, Generation))

    return map_texts(prompt, run)


def stream_generate(
    context: TaskContext, prompt: str, options: GenerateOptions
) -> Stream[Token, Generation[Any]]:
    """Generate a reply as a stream of tokens; see `Toolbox.stream_generate`."""
    started = time.perf_counter()
    prepared = prepare(context, options)
    return prepared.stream(context.engine, Case(prompt=prompt), started=started)
