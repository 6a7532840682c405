"""Complete code at the cursor with the fill-in-the-middle tokens of a model."""

from __future__ import annotations

import time

import msgspec

from llmtool.engine.types import Engine, Failed, Prompt, Request
from llmtool.option_names import option
from llmtool.sizes import format_count
from llmtool.tasks.code.cursor import truncate_around
from llmtool.tasks.code.results import Code
from llmtool.tasks.options import CompleteOptions
from llmtool.tasks.pipeline.collect import stream_outcomes
from llmtool.tasks.pipeline.context import TaskContext
from llmtool.tasks.pipeline.prepare import make_sampling
from llmtool.tasks.results import Generation
from llmtool.text import syntax


class CompletionRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A completion request, and the number of lines that did not fit into it."""

    request: Request
    n_dropped: int


def prepare(
    context: TaskContext, before: str, after: str, options: CompleteOptions
) -> CompletionRequest:
    """Return the request for the text at the cursor, with the text around it truncated to fit.

    Raises:
        UsageError: the model has no fill-in-the-middle tokens, or an option is out of range.
        ContextOverflow: the line of the cursor does not fit.
    """
    values = msgspec.structs.asdict(options)
    sampling = make_sampling({name: value for name, value in values.items() if value is not None})
    engine = context.engine
    n_overhead = len(engine.tokenize(Prompt(text="", suffix="")).token_ids)

    def count(line: str) -> int:
        return len(engine.tokenize(Prompt(text=line, suffix="")).token_ids) - n_overhead

    available = engine.info.n_ctx - (sampling.max_tokens or 1) - n_overhead
    while True:
        around = truncate_around(before, after, max_tokens=max(available, 0), count=count)
        prompt = Prompt(text=around.before, suffix=around.after)
        n_prompt = len(engine.tokenize(prompt).token_ids)
        excess = n_prompt + (sampling.max_tokens or 1) - engine.info.n_ctx
        if excess <= 0 or available <= 0:
            break
        available -= excess  # joined lines can take more tokens than separate ones
    engine.check_length(n_prompt, sampling.max_tokens)
    return CompletionRequest(
        request=Request(prompt=prompt, sampling=sampling), n_dropped=around.n_dropped
    )


def complete(
    engine: Engine,
    prepared: CompletionRequest,
    before: str,
    after: str,
    *,
    language: str | None,
    model: str,
) -> Code:
    """Return the code at the cursor; its status is that of the whole completed text."""
    started = time.perf_counter()
    outcomes = stream_outcomes(engine, [prepared.request], model=model)
    (reply,) = (each for each in outcomes if isinstance(each, (Generation, Failed)))
    if isinstance(reply, Failed):
        raise reply.error
    check = syntax.check(language, before + reply.text + after)
    warnings = list(reply.warnings)
    if prepared.n_dropped:
        lines = format_count(prepared.n_dropped, "line")
        advice = f"raise {option('n_ctx')}"
        warnings.append(f"omitted {lines} that did not fit into the context; {advice}")
    if check.note:
        warnings.append(f"not checked: {check.note}")
    return Code(
        text=reply.text,
        language=language,
        status=check.status,
        diagnostics=check.diagnostics,
        model=model,
        usage=reply.usage,
        seconds=time.perf_counter() - started,
        finish_reason=reply.finish_reason,
        seed=reply.seed,
        warnings=tuple(warnings),
    )
